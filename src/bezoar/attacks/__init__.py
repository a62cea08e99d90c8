"""Attacks: clean data and an rng -> poisoned data and its truth. One file each; they never import each other."""

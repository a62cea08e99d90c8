"""Victims: small standard models that are trained on suspect data and asked afterwards. One file each; they never import each other."""

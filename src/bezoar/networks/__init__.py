"""Small torch networks and one way to train them; below the shelves, so that victims and attacks share them. Torch is imported inside."""

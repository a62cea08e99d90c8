"""What is taken for granted where a model file does not say it, and how that is told."""

SIDE = 32
"""Pixels a side of the pictures that a model reads."""
SIZE_TAKEN = f"the size of pictures is not in the file: {SIDE} x {SIDE} was taken (--shape says another)"
SCALE_TAKEN = "how pixels are scaled is not in the file: [0, 1] was taken"

"""The door of the house: hostile bytes come in here, under limits, and leave as plain arrays. Used by the sources only."""

"""A simulated user who is shown twice as many items as are wanted, and says which are good (UiM, section III-D)."""

"""One published model a file, and an explicit registry of them."""

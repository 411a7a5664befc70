"""One file format a module; a reader yields Interactions."""

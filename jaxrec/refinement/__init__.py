"""A simulated user in the loop of a finished run: the top 2N in, the top N out, measured before and after (UiM)."""

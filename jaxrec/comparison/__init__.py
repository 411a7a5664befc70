"""Finished runs side by side: which may be compared, means over seeds, paired tests."""

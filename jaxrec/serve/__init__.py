"""Recommendations from a finished run."""

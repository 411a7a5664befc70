"""Metrics, ranking protocols, references, significance."""

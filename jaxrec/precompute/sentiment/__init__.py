"""Sentiments of interactions out of what users wrote about them (SEALR, SIGIR 2025, section 2.1)."""

"""Explanations of a finished run: what each interest of a user is made of, and what it brings."""

"""Profiles of users: what they say of themselves, and what their training history says (UiM, Eq. 2 and 3)."""

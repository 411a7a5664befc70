"""Hyper-parameter search: what is searched, one trial, the study on disk, and what is told of it."""

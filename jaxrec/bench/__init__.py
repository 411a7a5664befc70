"""Workloads, runner, comparison: `python -m jaxrec.bench`."""

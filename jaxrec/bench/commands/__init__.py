"""The commands of `python -m jaxrec.bench`, a module each; what one holds is said in `jaxrec.bench.__main__`."""

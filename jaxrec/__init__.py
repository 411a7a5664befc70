"""jaxrec: recommender systems in JAX and Flax. Importing it touches no device and reads no flag."""

__version__ = "0.1.0"

"""Several seeds of one experiment in one program: a folder for each, and what they found together."""

from jaxrec.multi_seed.execute import execute_seeds
from jaxrec.multi_seed.report import print_seeds_result

__all__ = ["execute_seeds", "print_seeds_result"]

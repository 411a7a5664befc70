"""Studies: grids of experiments and seeds, run as child processes, shown as the table and the figure of a paper."""

from jaxrec.studies.definition import Column, Figure, Row, Study

__all__ = ["Column", "Figure", "Row", "Study"]

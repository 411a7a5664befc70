"""Lines of integer ids: a user and then the user's items, separated by blanks.

In adjacency text (LightGCN) the order of items means nothing; in sequence text it is time.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from jaxrec.data.config import DataConfig
from jaxrec.data.readers.blocks import Block, read_blocks
from jaxrec.data.readers.problems import MAX_EXAMPLES, BadRows, Problem, shown

_ALLOWED = "integer ids separated by blanks are needed: a user and then items"


def read_adjacency(path: Path, config: DataConfig, bad: BadRows) -> pl.DataFrame:
    """`user item item …` a line, in no order; a user without items is left out."""
    del config
    frames = [_read_block(block, path, bad) for block in read_blocks(path)]
    schema = {"user": pl.String, "item": pl.String, "line": pl.UInt32}
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


def read_sequences(path: Path, config: DataConfig, bad: BadRows) -> pl.DataFrame:
    """`user item item …` a line, the oldest first: an event's timestamp is its place in the user's sequence, from 0."""
    frame = read_adjacency(path, config, bad)
    return frame.with_columns(pl.int_range(pl.len()).over("user").cast(pl.Int64).alias("timestamp"))


def _read_block(block: Block, file: Path, bad: BadRows) -> pl.DataFrame:
    # Only digits and blanks may stand in these files, so bytes that are not UTF-8 are named as any other character.
    lines = block.data.decode(errors="replace").replace("\r\n", "\n").replace("\t", " ").split("\n")[:-1]
    numbers = pl.int_range(block.first_line, block.first_line + len(lines), dtype=pl.UInt32, eager=True)
    frame = pl.DataFrame({"text": pl.Series(lines, dtype=pl.String), "line": numbers})
    flawed = frame.filter(~pl.col("text").str.contains(r"^[0-9 ]*[0-9][0-9 ]*$"))
    if len(flawed):
        problems = [_problem(text, line, file) for text, line in flawed.head(MAX_EXAMPLES).iter_rows()]
        bad.report(problems, len(flawed))
        frame = frame.join(flawed, on="line", how="anti", maintain_order="left")
    tokens = frame.select(pl.col("text").str.split(" ").list.eval(pl.element().filter(pl.element() != "")), "line")
    users = tokens.select(
        pl.col("text").list.first().alias("user"), pl.col("text").list.slice(1).alias("item"), pl.col("line")
    )
    return users.filter(pl.col("item").list.len() > 0).explode("item")


def _problem(text: str, line: int, file: Path) -> Problem:
    if not text.strip():
        return Problem(file, line, "an empty line", _ALLOWED)
    token = next(token for token in text.split() if not (token.isascii() and token.isdigit()))
    return Problem(file, line, shown(token), _ALLOWED)

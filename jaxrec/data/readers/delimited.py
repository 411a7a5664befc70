"""Rows of delimited text: parsed in bulk where that is certain to be right, else row by row.

The bulk parser (polars) is lenient about short, long and empty rows. It is trusted with a block only where the counts
of lines and separators and the last column prove that every row has the right number of fields; any other block is
split again by the csv module, which names each bad row.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl

from jaxrec.data.readers.blocks import Block, read_blocks
from jaxrec.data.readers.problems import BadRows, Problem, shown
from jaxrec.data.readers.typed import TimeUnit, typed
from jaxrec.errors import UserError

_SPLIT_ROWS = 500_000


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where a file's columns are. columns: user, item, rating, timestamp, behavior, review -> index into `names`.

    separator: as it stands in the file, of one or more bytes. quote: "" where the format has none.
    """

    names: tuple[str, ...]
    columns: Mapping[str, int]
    separator: str
    quote: str = ""
    has_header: bool = True
    time_unit: TimeUnit = "seconds"

    @property
    def byte(self) -> str:
        """The separator as one byte: a longer one is replaced by a control character before parsing."""
        return self.separator if len(self.separator) == 1 else "\x1f"


Reshape = Callable[[pl.DataFrame, pl.DataFrame, Path], tuple[pl.DataFrame, list[Problem], int]]
"""From a stretch's text columns, its good rows as `typed` gives them, and the file, to its events, and the bad rows."""


def read_delimited(path: Path, layout: Layout, bad: BadRows, reshape: Reshape | None = None) -> pl.DataFrame:
    """All good rows: columns as `typed` gives them. Raises UserError on a bad row unless `bad` skips them.

    reshape: for files whose rows are not an event each.
    """
    return pl.concat(delimited_blocks(path, layout, bad, reshape))


def delimited_blocks(
    path: Path, layout: Layout, bad: BadRows, reshape: Reshape | None = None
) -> Iterator[pl.DataFrame]:
    """The same in stretches of the file, in order, so that memory does not grow with it."""
    names = {name: layout.names[index] for name, index in layout.columns.items()}
    header, found = layout.has_header, False
    for block in read_blocks(path, quote=layout.quote.encode()):
        if header:
            start = block.data.index(b"\n") + 1
            block, header = Block(block.data[start:], block.first_line + 1), False
        if len(layout.separator) > 1:
            block = Block(block.data.replace(layout.separator.encode(), layout.byte.encode()), block.first_line)
        if not block.data:
            continue
        problems: list[Problem] = []
        frame = _split_in_bulk(block, layout)
        if frame is None:
            frame = _split_by_row(block, layout, path, problems)
        text = frame
        frame, untyped, count = typed(text, names, path, time_unit=layout.time_unit)
        unfit, unfit_count = [], 0
        if reshape is not None:
            frame, unfit, unfit_count = reshape(text, frame, path)
        bad.report([*problems, *untyped, *unfit], len(problems) + count + unfit_count)
        found = True
        yield frame
    if not found:
        raise UserError(f"{path}: found 0 rows; at least one interaction is needed")


def _split_in_bulk(block: Block, layout: Layout) -> pl.DataFrame | None:
    """Text columns of the block, or None where it is not certain that every row has the right number of fields."""
    data, width = block.data, len(layout.names)
    quoted = bool(layout.quote) and layout.quote.encode() in data
    rows = block.num_lines
    if b"\r" in data:
        ends = data.count(b"\r\n")
        # In quotes a line end is part of a field: only where every line has one, and is a row, is it none.
        if ends != data.count(b"\r") or (quoted and ends != rows):
            return None
        data = data.replace(b"\r\n", b"\n")
    if data.count(layout.byte.encode()) != rows * (width - 1):
        return None
    schema = {str(index): pl.String for index in range(width)}
    wanted = [pl.col(str(index)).alias(name) for name, index in layout.columns.items()]
    try:
        frame = (
            pl.scan_csv(
                io.BytesIO(data),
                has_header=False,
                schema=schema,
                separator=layout.byte,
                quote_char=layout.quote or None,
            )
            .select(*wanted, pl.col(str(width - 1)).alias("last"))
            .collect()
        )
    except pl.exceptions.PolarsError:
        return None
    # A short row leaves its last column null; with none short, the count of separators says that none is long.
    if len(frame) != rows or frame["last"].null_count():
        return None
    if quoted:
        for name in {"user", "item", "review"} & set(layout.columns):
            text = frame[name].str
            if text.contains(layout.quote, literal=True).any() or text.contains(layout.byte, literal=True).any():
                return None
    lines = pl.int_range(block.first_line, block.first_line + rows, dtype=pl.UInt32, eager=True)
    return frame.drop("last").with_columns(lines.alias("line"))


def _split_by_row(block: Block, layout: Layout, file: Path, problems: list[Problem]) -> pl.DataFrame:
    """Text columns of the rows with the right number of fields; the other rows are added to `problems`."""
    width = len(layout.names)
    needed = f"{width} fields are needed ({', '.join(layout.names)})"
    text = block.data.decode(errors="surrogateescape")
    damaged = not text.isascii() and any("\udc80" <= character <= "\udcff" for character in set(text))
    options = {"quotechar": layout.quote, "strict": True} if layout.quote else {"quoting": csv.QUOTE_NONE}
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=layout.byte, **options)  # type: ignore[arg-type]
    frames: list[pl.DataFrame] = []
    columns: dict[str, list[str]] = {name: [] for name in layout.columns}
    lines: list[int] = []
    while True:
        line = block.first_line + rows.line_num
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            problems.append(Problem(file, line, f"a row that cannot be split ({error})", needed))
            continue
        if len(row) == width and not (damaged and _is_damaged(row)):
            for name, index in layout.columns.items():
                columns[name].append(row[index])
            lines.append(line)
        elif not row:
            problems.append(Problem(file, line, "an empty line", needed))
        elif len(row) == width:
            raw = layout.separator.join(row).encode(errors="surrogateescape")
            problems.append(Problem(file, line, f"bytes that are not UTF-8 ({shown(raw)})", "UTF-8 text is needed"))
        else:
            problems.append(Problem(file, line, f"{len(row)} field{'s' * (len(row) != 1)}", needed))
        if len(lines) >= _SPLIT_ROWS:
            frames.append(_text_frame(columns, lines))
            columns, lines = {name: [] for name in layout.columns}, []
    frames.append(_text_frame(columns, lines))
    return pl.concat(frames)


def _text_frame(columns: Mapping[str, list[str]], lines: list[int]) -> pl.DataFrame:
    schema = {**dict.fromkeys(columns, pl.String), "line": pl.UInt32}
    return pl.DataFrame({**columns, "line": lines}, schema=schema)


def _is_damaged(row: list[str]) -> bool:
    return any("\udc80" <= character <= "\udcff" for field in row for character in field)

"""Raw ids of a streamed source -> integer ids, the same as those of the same source read at once."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
import polars as pl

from jaxrec.data.config import DataConfig
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.data.readers.assemble import in_order
from jaxrec.data.readers.problems import BadRows
from jaxrec.data.shards.source import StreamedSource
from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class RawRows:
    """Good rows of a source as files of text; the ids that occur, and how many rows each user has."""

    files: tuple[pathlib.Path, ...]
    users: IdMap
    items: IdMap
    rows_of_user: np.ndarray
    behavior_names: tuple[str, ...]
    timed: bool
    _ids: dict[str, pl.DataFrame]

    def interactions(self) -> Iterator[Interactions]:
        """The rows in order, a stretch at a time, over the id maps of all."""
        for file in self.files:
            frame = pl.read_parquet(file)
            behaviors = None
            if self.behavior_names:
                kinds = pl.Enum(self.behavior_names)
                behaviors = frame["behavior"].cast(kinds).to_physical().cast(pl.Int8).to_numpy()
            yield Interactions(
                user_ids=self._encoded(frame, "user"),
                item_ids=self._encoded(frame, "item"),
                users=self.users,
                items=self.items,
                ratings=frame["rating"].to_numpy() if "rating" in frame else None,
                timestamps=frame["timestamp"].to_numpy() if "timestamp" in frame else None,
                behaviors=behaviors,
                behavior_names=self.behavior_names,
            )

    def _encoded(self, frame: pl.DataFrame, side: str) -> np.ndarray:
        joined = frame.select(side).join(self._ids[side], on=side, how="left", maintain_order="left")
        return joined["id"].to_numpy()


def read_raw(source: StreamedSource, config: DataConfig, bad: BadRows, folder: pathlib.Path) -> RawRows:
    """Read the source once, keep its good rows in files of the folder, and number what occurs in them.

    Memory: one stretch of the source, and the distinct users and items.
    """
    folder.mkdir()
    files: list[pathlib.Path] = []
    columns: list[str] = []
    for frame in source.frames(config, bad):
        if frame.is_empty():
            continue
        columns = frame.columns
        files.append(folder / f"{len(files):06d}.parquet")
        frame.write_parquet(files[-1], compression="lz4", statistics=False)
    if not files:
        first = f" ({bad.count} bad rows skipped, the first: {bad.examples[0]})" if bad.examples else ""
        raise UserError(f"{source.path}: found 0 rows{first}; at least one interaction is needed")
    counted = {side: _counted(files, side) for side in ("user", "item")}
    names = _counted(files, "behavior")["behavior"] if "behavior" in columns else pl.Series([], dtype=pl.String)
    return RawRows(
        files=tuple(files),
        users=_id_map(counted["user"]["user"]),
        items=_id_map(counted["item"]["item"]),
        rows_of_user=counted["user"]["rows"].to_numpy().astype(np.int64),
        behavior_names=tuple(names.to_list()),
        timed="timestamp" in columns,
        _ids={
            side: frame.select(side, pl.int_range(pl.len(), dtype=pl.Int32).alias("id"))
            for side, frame in counted.items()
        },
    )


def _counted(files: list[pathlib.Path], side: str) -> pl.DataFrame:
    """The distinct values of a column in their order (jaxrec.data.readers.assemble.in_order), with their `rows`."""
    counted = pl.scan_parquet(files).group_by(side).agg(pl.len().alias("rows")).collect(engine="streaming")
    distinct = in_order(counted[side]).alias(side).to_frame()
    return distinct.join(counted, on=side, how="left", maintain_order="left")


def _id_map(names: pl.Series) -> IdMap:
    return IdMap(np.array(names.to_list(), dtype=str))

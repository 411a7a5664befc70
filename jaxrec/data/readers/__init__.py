"""Raw files to Interactions: one format a module, one `read` for all.

A path that names a file reads that file alone. A path that names a folder reads its interactions and what belongs to
them; every name may end in `.gz` or, of one file alone in a zip, `.zip`:

- parts `train|valid|test.EXT` (also `training`, `validation`, `val`, `dev`, `testing`) or RecBole's
  `NAME.train|valid|test.inter`; any of the three may be absent;
- else one file: `ratings.dat`, `*.inter`, `sequences*.txt`, `interactions|events|ratings|clicks|transactions` as
  `.csv|.tsv|.txt|.parquet`, `yelp_academic_dataset_review.json`, `steam_reviews.json`, `reviews*.json`, `*_5.json`,
  or the only file with an extension of a known format; more than one is refused;
- id maps: `item_*.jsonl` with lines `{"iid": 0, "asin": "…"}`, `user_*.jsonl` with `{"uid": 0, …}`, and LightGCN's
  `item_list.txt`, `user_list.txt`; raw ids are then those of the map;
- item text, the first kind found: `item_text.jsonl`, `movies.dat`, `*.item`, `yelp_academic_dataset_business.json`,
  `steam_games.json`, `meta_*.json`, `*rec_tmall_product*.txt|csv` (with brand, seller and category of each item),
  `train_text.txt` of Kuaishou;
- categorical fields of items: `item_fields.jsonl`.
"""

from __future__ import annotations

from pathlib import Path

from jaxrec.data.config import DataConfig
from jaxrec.data.readers.result import ReadResult

__all__ = ["ReadResult", "read"]


def read(config: DataConfig, path: Path) -> ReadResult:
    """Read every interaction of a file or folder in the format of `config.format`.

    Integer ids follow the numbers where all raw ids are integers, else the text, whatever the order of rows. Raises
    UserError on anything that cannot be read as it stands: file, line (from 1, the header counted), column, value and
    what is allowed, in one line; `config.on_bad_row = "skip"` counts bad rows instead.
    """
    # Polars is slow to import and only a source of raw files needs it.
    from jaxrec.data.readers.source import read_source

    return read_source(config, path)

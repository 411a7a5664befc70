"""The counts of a data set beside those that a paper prints of it (data.published)."""

from __future__ import annotations

from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.errors import UserError

_COUNTED = ("interactions", "users", "items")


def check_published(config: DataConfig) -> None:
    """Raise UserError where the counts of a paper are not three."""
    counts = config.published
    if len(counts) not in (0, len(_COUNTED)) or any(count < 1 for count in counts):
        raise UserError(
            f"data.published: found {' '.join(map(str, counts))}, allowed: {', '.join(_COUNTED)}, three numbers of at "
            "least 1, or none"
        )


def counts_beside(dataset: Dataset, published: tuple[int, ...]) -> tuple[dict[str, int], dict[str, int]]:
    """What all parts hold together, and what a paper counts, by name."""
    parts = (dataset.train, dataset.valid, dataset.test)
    found = (sum(len(part) for part in parts), dataset.num_users, dataset.num_items)
    return dict(zip(_COUNTED, found, strict=True)), dict(zip(_COUNTED, published, strict=True))


def published_sentence(found: dict[str, int], published: dict[str, int]) -> str:
    """How far the counts are from those of a paper."""
    differences = [
        f"{found[name] - count:+,} {name} ({found[name] / count - 1:+.2%})"
        for name, count in published.items()
        if found[name] != count
    ]
    return f"Against the published counts: {', '.join(differences) or 'the same'}."

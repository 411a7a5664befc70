"""The words that text vectors are made of: what the source says of items, and what training reviews say."""

from __future__ import annotations

import dataclasses

from jaxrec.data.dataset import Dataset
from jaxrec.data.reviews import training_documents
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_shuffle import shuffle_texts
from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True)
class Texts:
    """item: one string an item, "" where there is none. user: each user's own reviews, None where none are read."""

    item: tuple[str, ...]
    user: tuple[str, ...] | None = None


def read_texts(config: TextConfig, dataset: Dataset) -> Texts | None:
    """Texts of items (title, categories, description; then reviews) and of users (own reviews); None for none at all.

    With config.reviews, up to so many reviews of each item and of each user are added, of the training part only.
    With config.shuffle, the finished texts are dealt to other items, and own reviews to other users.

    Raises: UserError where reviews are asked for and the dataset holds none.
    """
    item, user = dataset.item_text, None
    if config.reviews:
        if dataset.reviews is None:
            raise UserError(
                f"text.reviews: found {config.reviews}, but data set {dataset.name} was read without review texts; "
                "allowed: --data.reviews, or text.reviews 0"
            )
        user = training_documents(dataset, "user", config.reviews, config.review_chars)
        said = training_documents(dataset, "item", config.reviews, config.review_chars)
        known = item if item is not None else ("",) * len(said)
        item = tuple(" ".join(filter(None, pair)) for pair in zip(known, said, strict=True))
    if item is None:
        return None
    if config.shuffle:
        item, user = shuffle_texts(item), None if user is None else shuffle_texts(user)
    return Texts(item, user)

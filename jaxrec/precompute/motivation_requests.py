"""What is asked about items and users: prompts out of metadata and the training part, with the facts for rules."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxrec.data.dataset import Dataset
from jaxrec.precompute.config import MotivationsConfig
from jaxrec.precompute.motivation_schema import SCHEMA, TYPICAL
from jaxrec.precompute.motivation_words import rarity_of
from jaxrec.precompute.prompts import Prompt, read_prompt
from jaxrec.precompute.requests import Message, Request
from jaxrec.precompute.token_counts import estimated_tokens
from jaxrec.precompute.training_rows import training_rows
from jaxrec.precompute.untrusted_text import clean_text, data_block

ITEM, USER = "item_motivations", "user_motivations"
PROMPTS = {
    "full": {ITEM: ITEM, USER: USER},
    "brief": {ITEM: "item_motivations_brief", USER: "user_motivations_brief"},
}
"""Prompt files by MotivationsConfig.prompts."""
_TITLE_CHARS = 80
_EXPECTED_TOKENS = estimated_tokens(json.dumps(TYPICAL))


class Review(NamedTuple):
    """A training review, cleaned and cut. rating: 1 to 5 or as the source has it, None where it has none."""

    text: str
    rating: float | None


def item_requests(dataset: Dataset, config: MotivationsConfig) -> list[Request]:
    """One request an item that has text or training reviews; the key is its integer id."""
    prompt = read_prompt(PROMPTS[config.prompts][ITEM])
    texts = dataset.item_text or ("",) * dataset.num_items
    indptr, rows = training_rows(dataset, "item", config.item_reviews, reviewed=True)
    described = [clean_text(text, config.item_chars) for text in texts]
    reviews = [
        tuple(review for row in rows[start:end].tolist() if (review := _review(dataset, row, config)).text)
        for start, end in itertools.pairwise(indptr.tolist())
    ]
    documents = (
        " ".join([text, *(review.text for review in said)]) for text, said in zip(described, reviews, strict=True)
    )
    rarity = rarity_of(documents)
    requests = []
    for item, (text, said) in enumerate(zip(described, reviews, strict=True)):
        if item == config.item_limit:
            break
        if not text and not said:
            continue
        fields = {"description": text, "reviews": [_plain(review) for review in said]}
        facts = {"text": text, "reviews": said, "rarity": rarity}
        requests.append(_request(str(item), ITEM, prompt, fields, facts, config))
    return requests


def user_requests(
    dataset: Dataset, config: MotivationsConfig, motivations: Mapping[int, Mapping[str, Any]]
) -> list[Request]:
    """One request a user who has a training item with motivations or text, or an own review; keyed by integer id.

    motivations: the answers of items by integer id (LMMRec Eq. 1: those of the user's training items).
    """
    prompt = read_prompt(PROMPTS[config.prompts][USER])
    texts = dataset.item_text or ("",) * dataset.num_items
    titles = [clean_text(text, _TITLE_CHARS) for text in texts]
    indptr, rows = training_rows(dataset, "user", config.user_items, reviewed=False)
    rarity = rarity_of(" ".join(part["motivation"] for part in value["positive"]) for value in motivations.values())
    requests = []
    for user, (start, end) in enumerate(itertools.pairwise(indptr.tolist())):
        if user == config.user_limit:
            break
        fields, items = [], []
        for row in rows[start:end].tolist():
            item = int(dataset.train.item_ids[row])
            value, review = motivations.get(item), _review(dataset, row, config)
            if value is None and not titles[item] and not review.text:
                continue
            entry: dict[str, Any] = {"description": titles[item]}
            if value is not None:
                entry |= {side: [_phrase(part) for part in value[side]] for side in ("positive", "negative")}
            if review.text or review.rating is not None:
                entry["own"] = _plain(review)
            fields.append(entry)
            items.append({"title": titles[item], "value": value, "review": review})
        if fields:
            facts = {"items": items, "rarity": rarity}
            requests.append(_request(str(user), USER, prompt, {"items": fields}, facts, config))
    return requests


def _request(
    key: str, step: str, prompt: Prompt, fields: Mapping[str, Any], facts: Mapping[str, Any], config: MotivationsConfig
) -> Request:
    # What a prompt says after its {data} follows the data: small models answer what was said last.
    before, _, after = prompt.text.partition("{data}")
    data = data_block(fields, max(config.item_chars, config.review_chars))
    return Request(
        key=key,
        step=step,
        messages=(Message("system", before.strip()), Message("user", f"{data}\n\n{after.strip()}".strip())),
        prompt_version=prompt.version_with(SCHEMA),
        schema=SCHEMA,
        schema_name="motivations",
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        seed=config.seed,
        expected_tokens=min(_EXPECTED_TOKENS, config.max_tokens),
        facts=facts,
    )


def _review(dataset: Dataset, row: int, config: MotivationsConfig) -> Review:
    """What a training row says: its review, "" where it has none, and its rating."""
    train = dataset.train
    place = -1 if train.reviews is None else int(train.reviews[row])
    text = "" if place < 0 or dataset.reviews is None else clean_text(dataset.reviews[place], config.review_chars)
    rating = math.nan if train.ratings is None else float(train.ratings[row])
    return Review(text, rating if math.isfinite(rating) else None)


def _plain(review: Review) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    if review.rating is not None:
        plain["rating"] = int(review.rating) if review.rating.is_integer() else round(review.rating, 2)
    if review.text:
        plain["review"] = review.text
    return plain


def _phrase(part: Mapping[str, str]) -> str:
    return f"{part['type']}: {part['motivation']}"

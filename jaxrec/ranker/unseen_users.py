"""A run of SEALR or PALR for users who are not in the data: its retriever, then its tuned model, as its steps do it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.assembly import load_run, recorded_run
from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap
from jaxrec.data.item_words import read_item_words
from jaxrec.errors import UserError
from jaxrec.eval.pools import candidates_folder
from jaxrec.precompute.sentiment.labels import PartLabels
from jaxrec.precompute.sentiment.ratings import sentiments_of_ratings
from jaxrec.ranker.examples import Example, make_examples, sentiment_text
from jaxrec.ranker.folders import needed_folder, retriever_folder
from jaxrec.ranker.names import item_texts
from jaxrec.ranker.ordering import ask, lists_of, rank
from jaxrec.ranker.preferences import preferences
from jaxrec.ranker.tuned import read_tuned
from jaxrec.serve.given_histories import split_ratings
from jaxrec.serve.listing import Listed, Told
from jaxrec.serve.new_users import History, NewUsers, new_users, of_new_users
from jaxrec.serve.recommender import Recommender, Scored

Notice = Callable[[str], None]


def rank_unseen(
    folder: Path,
    dataset: Dataset,
    histories: Sequence[History],
    k: int,
    notice: Notice,
    retriever: Path | None = None,
    exclude_seen: bool = True,
) -> list[Listed]:
    """The k best of each history, a user each, with what the model was told; scores fall by one a place, the last is 1.

    folder: a finished run; dataset: its data. Of a behaviour that is recommended, RAW_ID:RATING tells what the user
    thought of an item, which is its sentiment where the run tells any; without a rating it is neutral, as in the data.
    retriever: folder of the run that chose the candidates, where it is not found. All users share one reading of
    either model; candidates are shown in an order that follows from the names `new user 1` and so on.

    Raises: UserError for what is not in the data, a rating that is not read or out of its scale, a retriever that is
    not found or reads no histories, and folders that are gone or damaged.
    """
    experiment, _ = recorded_run(folder)
    model = experiment.model
    ranking, candidates = Path(model.rankings), candidates_folder(model.rankings)
    names = dataset.behavior_names
    target = ("", *names[-1:])
    plain, ratings = _split(histories, target, dataset.items, model)
    found = retriever_folder(candidates, retriever, model.candidates.retriever, (candidates.parent, folder.parent))
    given, pools = _pools(found, dataset, plain, model.candidates.count, exclude_seen, notice)
    users = np.arange(len(histories), dtype=np.int32)
    people = of_new_users(dataset, _pairs(given, dataset), len(users))
    words = None
    if model.prompt.items == "names" or model.prompt.template == "palr":
        words = read_item_words(experiment.data, dataset)
    told = None
    if model.prompt.template == "palr" and words is not None:
        told = preferences(people, words, users, model.prompt.history)
        if model.prompt.summary == "written":
            notice("the run's summaries of users were written by a model; counted keywords stand in for new users'")
    texts = item_texts(model.prompt, dataset, words)
    labels = {"train": _labels(ratings, model, notice)} if model.prompt.sentiment else None
    examples = make_examples(people, users, pools, model.prompt, model.candidates.seed, labels, told)
    tuning = model.tuning
    tuned = read_tuned(needed_folder(ranking, "tuning"), tuning.decoder, tuning.dtype)
    asked = ask(tuned, texts, model.prompt, model.ranking.method, examples, pools)
    settings = dataclasses.replace(model.ranking, batch_size=min(model.ranking.batch_size, len(users)))
    ranked = rank(asked, tuned, model.prompt, settings)
    items, _ = lists_of(pools, ranked, settings.refill)
    listed = []
    for row, example in enumerate(examples):
        cut = asked.encoded[row].cut
        if cut:
            notice(
                f"new user {row + 1}: the {cut} oldest items are not told, for prompt.max_tokens leaves them no room"
            )
        said = _told(dataset, example, cut, pools[row], len(ranked[row].order))
        listed.append(Listed(f"new user {row + 1}", _scored(dataset, items[row], len(said.places))[:k], None, said))
    return listed


def _split(
    histories: Sequence[History], target: tuple[str, ...], items: IdMap, model: Any
) -> tuple[list[dict[str, list[str]]], list[float]]:
    """Histories without ratings, and the ratings of all items of the target behaviour, user by user."""
    plain: list[dict[str, list[str]]] = []
    ratings: list[float] = []
    for history in histories:
        split = {behavior: split_ratings(raw, items) for behavior, raw in history.items() if behavior in target}
        plain.append(
            {behavior: split[behavior][0] if behavior in split else list(raw) for behavior, raw in history.items()}
        )
        ratings += [rating for _, numbers in split.values() for rating in numbers]
    known = [rating for rating in ratings if not math.isnan(rating)]
    if known and not model.prompt.sentiment:
        raise UserError(
            f"--history: found a rating, {known[0]:g}, but the run's language model is told no sentiments; "
            "allowed: RAW_ID,RAW_ID"
        )
    lowest, highest = model.sentiment.rating_scale
    outside = [rating for rating in known if not lowest <= rating <= highest]
    if outside:
        raise UserError(
            f"--history: found a rating of {outside[0]:g}, allowed: {lowest:g} to {highest:g}, the run's "
            "sentiment.rating_scale"
        )
    return plain, ratings


def _pools(
    folder: Path, dataset: Dataset, histories: Sequence[History], count: int, exclude_seen: bool, notice: Notice
) -> tuple[NewUsers, np.ndarray]:
    """The new users as the retriever knows them, and its best for them, [n, C] int32 items of `dataset`, -1 behind."""
    run = load_run(folder, notice)
    if run.ctx.histories is None:
        raise UserError(
            f"--history: found {folder}, a run of {run.result['model']}, as the one that chooses the candidates, which "
            "knows users by their ids alone; allowed: a run of SEALR or PALR whose candidates a model chose that reads "
            "histories; or --user RAW_ID"
        )
    given = new_users(run.dataset, run.model, run.params, run.ctx, histories)
    for note in given.notes:
        notice(note)
    people = Recommender(given.dataset, given.model, given.params, given.ctx)
    lists = people.recommend(given.dataset.users.raw.tolist(), min(count, dataset.num_items), exclude_seen)
    pools = np.full((len(lists), count), -1, np.int32)
    for row, found in enumerate(lists):
        if not found:
            raise UserError(f"--history: new user {row + 1} has seen every item, so there is nothing to recommend")
        pools[row, : len(found)] = dataset.items.encode([raw for raw, _ in found])
    notice(f"candidates: the {count} best of {run.result['model']}, {folder}")
    return given, pools


def _pairs(given: NewUsers, dataset: Dataset) -> list[tuple[int, int]]:
    """(user, item) of what the new users did, in this data set's ids."""
    train = given.dataset.train
    items = dataset.items.encode(given.dataset.items.decode(train.item_ids))
    return list(zip(train.user_ids.tolist(), items.tolist(), strict=True))


def _labels(ratings: Sequence[float], model: Any, notice: Notice) -> PartLabels:
    """The sentiments of all items, in the order of `ratings`."""
    values = np.asarray(ratings, np.float64)
    known = ~np.isnan(values)
    if not known.all():
        notice(
            f"{'no' if not known.any() else 'not every'} item of --history has a rating, so the model is told neutral "
            "of those without; RAW_ID:5 rates one"
        )
    return PartLabels(sentiments_of_ratings(values, *model.sentiment.rating_scale), known)


def _told(dataset: Dataset, example: Example, cut: int, pool: np.ndarray, placed: int) -> Told:
    items = [str(raw) for raw in dataset.items.decode(np.asarray(example.history[cut:], np.int32))]
    said = [sentiment_text(label) for label in example.sentiments[cut:]] or [None] * len(items)
    order = dataset.items.decode(pool[pool >= 0]).tolist()
    places = {str(item): number for number, item in enumerate(order, start=1)}
    return Told(tuple(zip(items, said, strict=True)), places, placed)


def _scored(dataset: Dataset, items: np.ndarray, length: int) -> Scored:
    raw = dataset.items.decode(items[items >= 0]).tolist()
    return [(str(item), float(length - place)) for place, item in enumerate(raw)]

"""What a run of SEALR or PALR stands on: lists that the steps of jaxrec.precompute made."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from jaxrec.config import Experiment
from jaxrec.data.dataset import Dataset
from jaxrec.errors import UserError
from jaxrec.eval.rankings import Rankings, read_rankings

_PATHS = ("rankings", "out", "candidates.retriever", "tuning.decoder", "sentiment.model", "sentiment.lexicon")


def reads_rankings(model: Any) -> bool:
    """Whether a model's config is of one that reads lists."""
    return getattr(model, "needs_rankings", False)


def with_absolute_paths(model: Any) -> Any:
    """The model's config with the paths of its steps made absolute; others as they are."""
    if not reads_rankings(model):
        return model
    for name in _PATHS:
        section, _, field = name.rpartition(".")
        owner = getattr(model, section) if section else model
        found = getattr(owner, field)
        if found is not None:
            owner = dataclasses.replace(owner, **{field: str(pathlib.Path(found).expanduser().absolute())})
            model = dataclasses.replace(model, **{section: owner}) if section else owner
    return model


def with_rankings(experiment: Experiment[Any], folder: pathlib.Path) -> Experiment[Any]:
    """The experiment with the folder of its lists, and where the protocol `retrieved` ranks, with their pools."""
    model = dataclasses.replace(experiment.model, rankings=str(folder.absolute()))
    evaluation = experiment.eval
    if "retrieved" in evaluation.protocols and evaluation.pools is None:
        evaluation = dataclasses.replace(evaluation, pools=model.rankings)
    return dataclasses.replace(experiment, model=model, eval=evaluation)


def load_rankings(model: Any, dataset: Dataset) -> Rankings | None:
    """The lists that a model's config names; None of a model that reads none.

    Raises: UserError where there are none, or they are of other data or of another length than the config says.
    """
    if not reads_rankings(model):
        return None
    if model.rankings is None:
        raise UserError(
            f"model.rankings: found none, but model {model.name} ranks by lists; allowed: a folder of step ranking of "
            "jaxrec.precompute, which jaxrec.launch makes where none is given"
        )
    rankings = read_rankings(model.rankings, dataset)
    if rankings.item_ids.shape[1] != model.candidates.count:
        raise UserError(
            f"model.rankings: {model.rankings} ranks {rankings.item_ids.shape[1]} candidates, but "
            f"model.candidates.count is {model.candidates.count}; allowed: equal numbers"
        )
    return rankings

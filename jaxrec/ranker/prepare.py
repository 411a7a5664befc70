"""Everything that a run of SEALR or PALR stands on: the retriever's run, then the steps up to the ranking."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from jaxrec.config import Experiment, load_config, validate
from jaxrec.data.prepared import load_dataset
from jaxrec.distributed import agree, first_alone
from jaxrec.errors import UserError
from jaxrec.precompute.answering import Answering
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.display import Display
from jaxrec.precompute.registry import steps_in_order
from jaxrec.precompute.stage import Stage
from jaxrec.rankings import with_rankings

Train = Callable[[Experiment[Any], pathlib.Path], pathlib.Path]
"""Runs an experiment to its end in a folder of its own within the given one, which it returns."""


def prepare(experiment: Experiment[Any], beside: pathlib.Path, train: Train, display: Display) -> Experiment[Any]:
    """The experiment with the lists that it ranks by, made where they are absent; the same call goes on with what a
    stopped one has left.

    Each step lies in a folder of model.out/NAME whose name follows from its content, so that runs share what they have
    in common. experiment.seed is that of the retriever and is added to tuning.seed. beside: the folder of the config
    file, where model.candidates.retriever_config is looked for, too. Raises: UserError as the steps do.
    """
    model = experiment.model
    _check_paths(model)
    # The run reads no review: its data is that of any other run.
    experiment = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, reviews=False))
    retriever = model.candidates.retriever
    if retriever is None:
        retrieving = _retriever(experiment, beside)
        display.notice(f"the retriever first: {retrieving.name}")
        retriever = str(train(retrieving, pathlib.Path(model.out) / experiment.name))
    config = stage_config(experiment, retriever)
    config.validate()
    dataset = load_dataset(config.data, display.notice)
    steps = steps_in_order(config.steps, config)
    made = ""
    # Of several processes the first asks, tunes and ranks on its own devices.
    with first_alone("the lists") as working:
        if working:
            with Answering(config, {name: rule for step in steps for name, rule in step.rules.items()}) as answering:
                outputs = Stage(config, dataset, steps, answering, display).run()
            for output in outputs:
                display.notice(f"{output.step}, {'made before' if output.reused else 'made'}: {output.folder}")
            made = str(outputs[-1].folder)
    return with_rankings(experiment, pathlib.Path(agree(made)))


def _check_paths(model: Any) -> None:
    """What the steps will read is there: said before anything is trained."""
    given = {"tuning.decoder": model.tuning.decoder}
    if model.prompt.sentiment:
        given |= {"sentiment.model": model.sentiment.model, "sentiment.lexicon": model.sentiment.lexicon}
    for field, path in given.items():
        if path is not None and not pathlib.Path(path).expanduser().exists():
            raise UserError(f"model.{field}: {path} does not exist; allowed: a folder or file on this machine")


def stage_config(experiment: Experiment[Any], retriever: str) -> PrecomputeConfig:
    """What `python -m jaxrec.precompute` would be told to make the run's lists; retriever: its run folder."""
    model = experiment.model
    texts = model.prompt.sentiment and model.sentiment.chosen() != "rating"
    return PrecomputeConfig(
        data=dataclasses.replace(experiment.data, reviews=texts),
        steps=("ranking",),
        backend="rules",
        candidates=dataclasses.replace(model.candidates, retriever=retriever),
        prompt=model.prompt,
        tuning=dataclasses.replace(model.tuning, seed=model.tuning.seed + experiment.seed),
        ranking=model.ranking,
        sentiment=model.sentiment,
        out=model.out,
        name=experiment.name,
    )


def _retriever(experiment: Experiment[Any], beside: pathlib.Path) -> Experiment[Any]:
    """The retriever's experiment, on the data, the devices and with the seed of the run."""
    named = experiment.model.candidates.retriever_config
    if not named:
        raise UserError(
            "model.candidates.retriever: found none, allowed: the folder of a finished run, or a config file of one as "
            "model.candidates.retriever_config"
        )
    path = pathlib.Path(named).expanduser()
    if not path.exists() and (beside / path.name).exists():
        path = beside / path.name
    found = load_config(path)
    if getattr(found.model, "needs_rankings", False):
        raise UserError(f"model.candidates.retriever_config: {path} is of {found.model.name}, which needs one itself")
    given = dataclasses.replace(found, data=experiment.data, devices=experiment.devices, seed=experiment.seed)
    validate(given)
    return given

"""The steps of the stage by name, in the order in which they are made; each is imported when it is asked for.

A step's module holds STEP, a `jaxrec.precompute.step.Step`. To add one: write the module, name it here, and give
`PrecomputeConfig` a field of the step's own settings. The command, the plan, the progress, the folders and the
manifests then know it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.step import Step

STEPS = {
    "motivations": "jaxrec.precompute.motivations",
    "embeddings": "jaxrec.precompute.embeddings",
    "sentiment": "jaxrec.precompute.sentiment.step",
    "profiles": "jaxrec.precompute.profiles.step",
    "simulated_user": "jaxrec.precompute.simulated_user.step",
    "features": "jaxrec.precompute.features.step",
    # On a floor above: they load runs.
    "candidates": "jaxrec.ranker.candidates_step",
    "tuning": "jaxrec.ranker.tuning_step",
    "ranking": "jaxrec.ranker.ranking_step",
}


def load_step(name: str) -> Step:
    """The step of a name that stands in STEPS."""
    return importlib.import_module(STEPS[name]).STEP


def steps_in_order(names: Iterable[str], config: PrecomputeConfig) -> list[Step]:
    """The named steps and those that they need, each once, in the order of STEPS (a step needs earlier ones only)."""
    wanted, open_names = set(), list(names)
    while open_names:
        name = open_names.pop()
        if name not in wanted:
            wanted.add(name)
            open_names += load_step(name).needs_of(config)
    return [load_step(name) for name in STEPS if name in wanted]

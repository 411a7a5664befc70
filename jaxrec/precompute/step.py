"""What a step of the stage is, and what it is given to work with: the contract between the command and the steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jaxrec.data.dataset import Dataset
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.embedding_runner import Embedded
from jaxrec.precompute.requests import Answer, Failure, Plan, Request
from jaxrec.precompute.rules_backend import Rule


class Job(Protocol):
    """What a step works with; the same object plans and runs.

    dataset: whoever makes features reads its training part only. inputs: the folder of each step in `needs`, None
    where a plan is made before that step has run.
    """

    config: PrecomputeConfig
    dataset: Dataset
    inputs: Mapping[str, Path | None]

    @property
    def backend_name(self) -> str:
        """Who answers chats: "rules", "openai", …"""
        ...

    @property
    def model(self) -> str:
        """The model that answers chats."""
        ...

    def ask(self, requests: Sequence[Request]) -> dict[str, Answer | Failure]:
        """One end for every request, by key: from the cache or the backend, checked and repaired, shown as progress."""
        ...

    def embed(self, texts: Sequence[str], width: int | None) -> Embedded:
        """Vectors of texts by the hosted embedding model; "" is not asked for."""
        ...

    def plan(self, requests: Sequence[Request]) -> Plan:
        """What `ask` would take now."""
        ...

    def plan_embedding(self, texts: Sequence[str], width: int | None) -> Plan:
        """What `embed` would take now."""
        ...

    def known(self, requests: Sequence[Request]) -> dict[str, Any]:
        """By key, the values of those that the cache answers without asking: for plans of what follows from them."""
        ...

    def notice(self, line: str) -> None:
        """Tell the user one line."""
        ...


@dataclasses.dataclass(frozen=True)
class Made:
    """What a step has made, beside the files that it wrote into its folder.

    model: who made it, for the manifest. rows: for each kind ("item", "user", "interaction"), a record of counts that
    has at least `rows` and `present`; the share that is missing is told by the command. complete: False where running
    the same command again can find more (failed or stopped requests). extra: further keys of the manifest, JSON.
    launch_flag: the flag of `jaxrec.launch` that takes the folder, such as "--text.path".
    """

    model: str
    rows: Mapping[str, Mapping[str, int]]
    complete: bool = True
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    launch_flag: str | None = None


def _nothing_more(_: PrecomputeConfig) -> tuple[str, ...]:
    return ()


@dataclasses.dataclass(frozen=True)
class Step:
    """One step.

    name: as in registry.STEPS. summary: one line for the help. run(job, folder): makes everything and writes it into
    the empty folder, which is moved to its place when run returns; it writes no manifest.json, or (as
    write_text_features does) one to which the common keys are added. plan(job): what run would ask, without asking.
    identity(job): JSON of all that decides the output beside the data set, the outputs in `needs` and the prompts:
    settings, models, versions; its hash is part of the folder's name, and a folder that is there is used, not made
    again. needs: earlier steps; needs_where: those that some settings need, too. prompts: names of its files in
    jaxrec/precompute/prompts. rules: by Request.step, the function that answers without a model out of Request.facts;
    every request of the step needs one.
    """

    name: str
    summary: str
    run: Callable[[Job, Path], Made]
    plan: Callable[[Job], Plan]
    identity: Callable[[Job], Any]
    needs: tuple[str, ...] = ()
    needs_where: Callable[[PrecomputeConfig], tuple[str, ...]] = _nothing_more
    prompts: tuple[str, ...] = ()
    rules: Mapping[str, Rule] = dataclasses.field(default_factory=dict)

    def needs_of(self, config: PrecomputeConfig) -> tuple[str, ...]:
        """The earlier steps that this one needs under these settings."""
        return self.needs + self.needs_where(config)

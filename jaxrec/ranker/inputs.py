"""What tuning and ranking read of the earlier steps, and the examples that are made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrec.config.fields import leaves
from jaxrec.data.dataset import Dataset
from jaxrec.data.item_words import ItemWords, read_item_words
from jaxrec.errors import UserError
from jaxrec.eval.pools import Pools, read_pools
from jaxrec.models.sealr_config import PromptConfig
from jaxrec.precompute.requests import Failure, Plan
from jaxrec.precompute.rules_backend import Rule
from jaxrec.precompute.sentiment.files import read_labels
from jaxrec.precompute.sentiment.labels import PartLabels
from jaxrec.precompute.step import Job
from jaxrec.ranker import prompt_text
from jaxrec.ranker.examples import Example, Supervision, make_examples
from jaxrec.ranker.names import ItemTexts, item_texts
from jaxrec.ranker.preferences import (
    SUMMARY,
    preferences,
    summary_requests,
    summary_rule,
    written_preferences,
)

PROMPTS: tuple[str, ...] = (*prompt_text.PROMPTS, SUMMARY)
"""Prompt files of the steps that read inputs."""
RULES: Mapping[str, Rule] = {SUMMARY: summary_rule}
"""Who answers without a model."""


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """texts: how items are said. pools: of all users, the retriever's. seed: of the order in which they are shown.

    words, labels: None where the prompt needs none. planning: nobody may be asked for summaries of users yet; counted
    keywords stand in for them.
    """

    job: Job
    planning: bool
    dataset: Dataset
    config: PromptConfig
    texts: ItemTexts
    pools: Pools
    seed: int
    words: ItemWords | None
    labels: Mapping[str, PartLabels] | None

    def pools_of(self, user_ids: np.ndarray) -> np.ndarray:
        """[n, C] int32, the retriever's best first, -1 behind the last. Raises: UserError for a user without one."""
        return self.pools.of_users(user_ids).item_ids

    def examples(self, user_ids: np.ndarray, supervision: Supervision | None = None) -> list[Example]:
        """One a user, in the order given; with an answer to learn where there is a supervision.

        Where a language model writes the summaries of users, it is asked for them. Raises: UserError where it did not
        answer.
        """
        pools, told = self.pools_of(user_ids), self._preferences(user_ids)
        return make_examples(self.dataset, user_ids, pools, self.config, self.seed, self.labels, told, supervision)

    def plan(self, user_ids: np.ndarray) -> Plan:
        """What `examples` would ask a language model."""
        if not _is_written(self.config) or self.words is None:
            return Plan()
        return self.job.plan(summary_requests(self.dataset, self.words, user_ids, self.config))

    def _preferences(self, user_ids: np.ndarray) -> Mapping[int, Sequence[str]] | None:
        if self.config.template != "palr" or self.words is None:
            return None
        if self.planning or not _is_written(self.config):
            return preferences(self.dataset, self.words, user_ids, self.config.history)
        requests = summary_requests(self.dataset, self.words, user_ids, self.config)
        answers = self.job.ask(requests)
        again = [answer for answer in answers.values() if isinstance(answer, Failure) and answer.kind != "missing"]
        if again:
            # What is tuned and ranked on half of them would be kept under the name of all.
            raise UserError(
                f"prompt.summary: {len(again)} of {len(requests)} summaries were not answered ({again[0].reason}); "
                "run the same command again, or give --prompt.summary keywords"
            )
        return written_preferences(requests, answers)


def inputs_identity(job: Job) -> dict[str, Any]:
    """What decides examples beside the folders of earlier steps and the prompt files."""
    prompt = {leaf.name: leaf.value for leaf in leaves(job.config.prompt) if leaf.hashed and not leaf.later}
    model = job.model if _is_written(job.config.prompt) else None
    identity = {"prompt": prompt, "shown": job.config.candidates.seed, "summaries": model}
    if job.config.prompt.items == "new_tokens" and job.config.tuning.decoder is not None:
        identity["item_tokens"] = "spaced"  # the blank before an item is of its token
    return identity


def _is_written(config: PromptConfig) -> bool:
    return config.template == "palr" and config.summary == "written"


def read_inputs(job: Job, planning: bool = False) -> Inputs:
    """From the folders of steps "candidates" and, where the prompt tells sentiments, "sentiment".

    Raises: UserError where one is damaged or of another data set.
    """
    config, dataset = job.config.prompt, job.dataset
    candidates, sentiment = job.inputs.get("candidates"), job.inputs.get("sentiment")
    if candidates is None:
        raise UserError("steps: no output of candidates; allowed: steps after it, in one command or another")
    if config.sentiment and sentiment is None:
        raise UserError("steps: no output of sentiment; allowed: --prompt.no-sentiment, or that step before")
    worded = config.items == "names" or config.template == "palr"
    words = read_item_words(job.config.data, dataset) if worded else None
    return Inputs(
        job=job,
        planning=planning,
        dataset=dataset,
        config=config,
        texts=item_texts(config, dataset, words),
        pools=read_pools(candidates, dataset),
        seed=job.config.candidates.seed,
        words=words,
        labels=read_labels(sentiment, dataset) if config.sentiment and sentiment is not None else None,
    )

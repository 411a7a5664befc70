"""What tuning and ranking read of the earlier steps, and the examples that are made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from jaxrec.data.dataset import Dataset
from jaxrec.data.item_words import ItemWords, read_item_words
from jaxrec.errors import UserError
from jaxrec.eval.pools import Pools, read_pools
from jaxrec.models.sealr_config import PromptConfig
from jaxrec.precompute.sentiment.files import read_labels
from jaxrec.precompute.sentiment.labels import PartLabels
from jaxrec.precompute.step import Job
from jaxrec.ranker.examples import Example, Supervision, make_examples
from jaxrec.ranker.names import ItemTexts, item_texts
from jaxrec.ranker.preferences import preferences


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """texts: how items are said. pools: of all users, the retriever's. seed: of the order in which they are shown.

    words, labels: None where the prompt needs none.
    """

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
        """One a user, in the order given; with an answer to learn where there is a supervision."""
        told = None
        if self.config.template == "palr" and self.words is not None:
            told = preferences(self.dataset, self.words, user_ids, self.config.history)
        return make_examples(
            self.dataset, user_ids, self.pools_of(user_ids), self.config, self.seed, self.labels, told, supervision
        )


def read_inputs(job: Job) -> Inputs:
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
        dataset=dataset,
        config=config,
        texts=item_texts(config, dataset, words),
        pools=read_pools(candidates, dataset),
        seed=job.config.candidates.seed,
        words=words,
        labels=read_labels(sentiment, dataset) if config.sentiment and sentiment is not None else None,
    )

"""The ranking of a part by the name of its protocol, and users of few events as a slice of any."""

from __future__ import annotations

import numpy as np
from jax.sharding import Mesh

from jaxrec.data.dataset import Dataset
from jaxrec.data.histories import known_events
from jaxrec.eval.config import EvalConfig, Protocol
from jaxrec.eval.metrics import mean_metrics
from jaxrec.eval.ranking import Evaluation, FullRanking
from jaxrec.eval.retrieved_ranking import RetrievedRanking
from jaxrec.eval.sampled_ranking import SampledRanking
from jaxrec.eval.users import Part

AnyRanking = FullRanking | SampledRanking | RetrievedRanking
_RANKINGS = {"full": FullRanking, "sampled99": SampledRanking, "retrieved": RetrievedRanking}


def make_ranking(
    protocol: Protocol, dataset: Dataset, part: Part, config: EvalConfig, mesh: Mesh | None = None
) -> AnyRanking:
    """The ranking of a part under a protocol. Raises UserError where the part cannot be ranked so."""
    return _RANKINGS[protocol](dataset, part, config, mesh)


def cold_start_rows(dataset: Dataset, part: Part, user_ids: np.ndarray, most_events: int) -> np.ndarray:
    """Which of the users had at most so many events, of all behaviours, before their target: [n] bool."""
    return np.diff(known_events(dataset, part).indptr)[user_ids] <= most_events


def slice_metrics(evaluation: Evaluation, rows: np.ndarray) -> dict[str, float]:
    """Metrics of some of the users of an evaluation; rows: [n] bool, at least one of them."""
    return mean_metrics({name: values[rows] for name, values in evaluation.per_user.items()})

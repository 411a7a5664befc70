"""Ranking of one target among 99 sampled items: the protocol of many papers, much easier than the whole catalogue."""

from __future__ import annotations

from jax.sharding import Mesh

from jaxrec.data.dataset import Dataset
from jaxrec.errors import UserError
from jaxrec.eval.candidate_ranking import CandidateRanking
from jaxrec.eval.candidates import NUM_NEGATIVES, draw_candidates
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.users import Part


class SampledRanking(CandidateRanking):
    """Ranks each user's target of one part among 99 items that the user never had; ties as in CandidateRanking.

    Raises UserError where a user has several targets, and for a cut-off above 100.
    """

    def __init__(self, dataset: Dataset, part: Part, config: EvalConfig, mesh: Mesh | None = None) -> None:
        if max(config.k) > NUM_NEGATIVES + 1:
            raise UserError(f"eval.k: {max(config.k)} is larger than the {NUM_NEGATIVES + 1} candidates of sampled99")
        self.candidates = drawn = draw_candidates(dataset, part, config.candidates_seed)
        if not len(drawn.user_ids):
            raise UserError(f"data.split: the {part} part holds no interaction, so there is nothing to rank")
        super().__init__(
            drawn.user_ids,
            drawn.target_ids,
            drawn.negative_ids,
            config,
            mesh,
            num_without_target=drawn.num_without_target,
        )

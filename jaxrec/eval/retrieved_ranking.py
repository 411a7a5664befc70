"""retrieved: the target of each user is ranked among what a retriever chose; a target that it missed is a miss."""

from __future__ import annotations

import numpy as np
from jax.sharding import Mesh

from jaxrec.data.dataset import Dataset
from jaxrec.errors import UserError
from jaxrec.eval.artifacts import load_per_user
from jaxrec.eval.candidate_ranking import CandidateRanking
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.metrics import BEYOND, mean_metrics
from jaxrec.eval.pools import candidates_folder, read_ranked
from jaxrec.eval.ranking import Evaluation
from jaxrec.eval.users import Part


class RetrievedRanking(CandidateRanking):
    """Ranks each user's last item within the pool of eval.pools; a miss of the retriever is a miss of every model.

    Test: users who are evaluated. Valid: users who may be tuned on, of a folder of rankings those of its validation.
    Both parts ask for the same thing, the last item out of the training history, of other users. Ties as in
    CandidateRanking. Raises UserError without pools, where the pools are not of this data set, for a part without a
    user, and for a cut-off above the size of the pools.
    """

    def __init__(self, dataset: Dataset, part: Part, config: EvalConfig, mesh: Mesh | None = None) -> None:
        if config.pools is None:
            raise UserError(
                "eval.pools: found none, allowed with eval.protocols retrieved: "
                "a folder that jaxrec.precompute made, of the step candidates or ranking"
            )
        self.pools = pools = dict(zip(("valid", "test"), read_ranked(config.pools, dataset), strict=True))[part]
        if not len(pools.user_ids):
            raise UserError(f"eval.pools: {config.pools} has no user of the {part} part, so there is nothing to rank")
        if max(config.k) > pools.item_ids.shape[1]:
            raise UserError(
                f"eval.k: {max(config.k)} is larger than the {pools.item_ids.shape[1]} candidates of eval.pools"
            )
        others = np.where(pools.item_ids == pools.target_ids[:, None], -1, pools.item_ids)
        super().__init__(
            pools.user_ids,
            pools.target_ids,
            others,
            config,
            mesh,
            reachable=pools.in_pool,
            num_without_target=dataset.num_users - len(pools.user_ids),
        )
        self._dataset = dataset

    def retriever_reference(self) -> Evaluation:
        """The pools as the retriever ordered them; an injected target, which all others beat, is the last."""
        places = self.pools.item_ids == self.pools.target_ids[:, None]
        return self.of_ranks(np.where(places.any(axis=1), places.argmax(axis=1) + 1, BEYOND))

    def retriever_in_full(self) -> dict[str, float] | None:
        """What the retriever's run found under full ranking for the same users; None where that is not known.

        Not the same task: there the validation item is in the history, and all items are candidates.
        """
        folder = candidates_folder(str(self.config.pools))
        if not (folder / "per_user.npz").is_file():
            return None
        raw, values = load_per_user(folder, "test")
        users = self._dataset.users.encode(raw.tolist())
        rows = np.isin(users, self.user_ids)
        if rows.sum() < len(self.user_ids):
            return None
        return mean_metrics({name: column[rows] for name, column in values.items()})

"""Arithmetic that no ranking can break: what every table is checked against before it is shown."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

SLACK = 1e-9
"""Means over users are rounded sums."""


def impossibilities(metrics: Mapping[str, float], single_target: bool, slack: float = SLACK) -> list[str]:
    """What in the metrics `<name>@<k>` of one table row no ranking could give, one sentence each; [] as it should be.

    single_target: every user has one target, so that recall is hit and, for hit rates H and cut-offs k < l,
    H(k)/log2(k+1) <= ndcg(k) <= H(k), and ndcg(l) - ndcg(k) lies between (H(l) - H(k)) / log2(l+1) and
    (H(l) - H(k)) / log2(k+2); H(k)/k <= mrr(k) <= H(k). slack: how far a figure may be off, such as half of the
    last digit of a printed one. Metrics that are not there are not checked.
    """
    cutoffs = sorted({int(name.partition("@")[2]) for name in metrics})
    found: list[str] = []

    def check(holds: bool, sentence: str) -> None:
        if not holds:
            found.append(sentence)

    for name, value in metrics.items():
        check(-slack <= value <= 1 + slack, f"{name} = {value:g} is not between 0 and 1")
    for k in cutoffs:
        recall, hit, ndcg, mrr = (metrics.get(f"{name}@{k}") for name in ("recall", "hit", "ndcg", "mrr"))
        if hit is None:
            continue
        for name, value in (("recall", recall), ("ndcg", ndcg), ("mrr", mrr)):
            check(value is None or value <= hit + slack, f"{name}@{k} = {value} is above hit@{k} = {hit:g}")
        if single_target:
            check(recall is None or abs(recall - hit) <= slack, f"recall@{k} = {recall} is not hit@{k} = {hit:g}")
            for name, value, share in (("ndcg", ndcg, 1 / math.log2(k + 1)), ("mrr", mrr, 1 / k)):
                least = hit * share
                check(value is None or value >= least - slack, f"{name}@{k} = {value} is below {least:.4g}")
    for k, longer in itertools.pairwise(cutoffs):
        for name in ("recall", "hit", "mrr", *(("ndcg",) if single_target else ())):
            shorter, value = metrics.get(f"{name}@{k}"), metrics.get(f"{name}@{longer}")
            if shorter is not None and value is not None:
                check(value >= shorter - slack, f"{name}@{longer} = {value:g} is below {name}@{k} = {shorter:g}")
        names = (f"hit@{k}", f"hit@{longer}", f"ndcg@{k}", f"ndcg@{longer}")
        if single_target and all(name in metrics for name in names):
            hit, more_hit, ndcg, more_ndcg = (metrics[name] for name in names)
            gain, hits = more_ndcg - ndcg, more_hit - hit
            low, high = hits / math.log2(longer + 1), hits / math.log2(k + 2)
            check(
                low - 2 * slack <= gain <= high + 2 * slack,
                f"ndcg@{longer} - ndcg@{k} = {gain:.4g} is not between {low:.4g} and {high:.4g}",
            )
    return found

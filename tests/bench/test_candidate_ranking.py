"""The workload of ranked candidates in its small size: all ways give the same scores, or lists of the pool."""

from jaxrec.bench import candidate_ranking
from jaxrec.bench.settings import Settings


def test_small_run_reports_equal_scores_and_whole_lists():
    report = candidate_ranking.run(Settings(repeats=1, scale="small"))
    assert report["checks"] == {"scores equal": True, "lists of candidates, each once": True}
    names = (candidate_ranking.OURS, candidate_ranking.LIST, candidate_ranking.ONE_BY_ONE, candidate_ranking.PLAIN)
    assert tuple(report["variants"]) == names
    assert 80 < report["prompt_tokens"] <= 96

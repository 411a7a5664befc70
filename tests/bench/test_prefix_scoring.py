"""The workload of shared prompts in its small size: the scores are those of one prompt for each candidate."""

from jaxrec.bench import prefix_scoring
from jaxrec.bench.settings import Settings


def test_small_run_reports_equal_scores():
    report = prefix_scoring.run(Settings(repeats=1, scale="small"))
    names = (prefix_scoring.OURS, prefix_scoring.SINGLE)
    assert report["checks"] == {f"{name}: scores equal": True for name in names}
    assert report["variants"].keys() == {*names, prefix_scoring.PLAIN}

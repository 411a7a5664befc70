"""The alignment workload in its small size: both variants give the same loss and gradient."""

from jaxrec.bench import alignment
from jaxrec.bench.settings import Settings


def test_small_run_reports_equal_losses_and_gradients():
    report = alignment.run(Settings(repeats=1, scale="small"))
    assert report["checks"] == {"gradients_equal": True, "losses_equal": True}
    assert report["variants"].keys() == {alignment.OURS, alignment.PLAIN}

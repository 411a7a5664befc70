"""The reverse chain's workload in its small size: the scan and the loop end at the same vectors."""

from jaxrec.bench import reverse_chain
from jaxrec.bench.settings import Settings


def test_small_run_reports_equal_results():
    report = reverse_chain.run(Settings(repeats=1, scale="small"))
    assert report["checks"] == {"results_equal": True}
    assert report["variants"].keys() == {reverse_chain.OURS, reverse_chain.LOOP}

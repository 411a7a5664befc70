"""The capsule workload in its small size."""

from jaxrec.bench import capsule_routing
from jaxrec.bench.settings import Settings


def test_small_run_measures_every_map():
    report = capsule_routing.run(Settings(repeats=1, scale="small"))
    assert report["checks"] == {"results_equal": True}
    assert report["variants"].keys() == capsule_routing.OURS.keys()

"""The workload of seeds at once, in its small size."""

from jaxrec.bench import seeds_at_once
from jaxrec.bench.settings import Settings


def test_small_run_finds_each_seed_as_by_itself():
    entry = seeds_at_once.run(Settings(repeats=1, scale="small"))
    assert entry["checks"] == {"LightGCN: each seed as by itself": True}
    assert "jaxrec LightGCN, 2 seeds at once" in entry["variants"]
    assert entry["ratios"].keys() == {"LightGCN, 2 runs one after another"}
    assert entry["programs"]["jaxrec LightGCN, 2 seeds at once"]["temporary_bytes"] > 0

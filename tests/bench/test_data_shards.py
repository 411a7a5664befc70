import polars
import pytest

from jaxrec.bench import data_shards
from jaxrec.bench.settings import Settings


def test_the_source_has_repeats_and_popular_items(tmp_path):
    data_shards.stage("write", "small", tmp_path)
    frame = polars.read_parquet(tmp_path / "source" / "*.parquet")
    assert frame.columns == ["user", "item", "rating", "timestamp"]
    assert len(frame) == 20_000
    assert frame.select("user", "item").n_unique() < 20_000
    counts = frame["item"].value_counts()["count"]
    assert counts.max() > 10 * counts.min()


@pytest.mark.slow
@pytest.mark.multiprocess
def test_the_small_form_prepares_and_trains_in_processes_of_their_own():
    report = data_shards.run(Settings(repeats=9, scale="small"))
    assert all(report["checks"].values()), report["checks"]
    assert report["train"]["steps"] == 20
    assert 0 < report["train"]["training_pairs"] < 20_000
    assert report["train"]["ranked_users"] == 50
    assert 30 < report["peak_rss_mb"]["prepare"] < 2000
    assert [len(times["seconds"]) for times in report["variants"].values()] == [1, 1, 1]

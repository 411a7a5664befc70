import numpy as np
import polars

from jaxrec.bench import data_prepare
from jaxrec.bench.settings import Settings


def test_the_small_form_measures_a_process_of_its_own():
    report = data_prepare.run(Settings(repeats=1, scale="small"))
    assert report["rows"] == 20_000
    assert 0 < report["interactions_after_filter"] < 20_000
    assert report["checks"] == {}
    assert report["variants"]["jaxrec"]["seconds"] == [report["seconds"]]
    assert 30 < report["peak_rss_mb"] < 1000
    assert report["cpu_seconds"] > 0


def test_the_file_has_what_the_filter_is_for(tmp_path):
    path = tmp_path / "interactions.csv"
    data_prepare.write_interactions(path, 5000)
    frame = polars.read_csv(path)
    assert frame.columns == ["user", "item", "rating", "timestamp"]
    assert len(frame) == 5000
    assert frame.select("user", "item").n_unique() < 5000
    assert frame["item"].value_counts()["count"].min() < 5
    assert np.isin(frame["rating"].unique().to_numpy(), [1, 2, 3, 4, 5]).all()

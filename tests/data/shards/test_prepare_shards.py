"""Shards hold what the same settings give when all is read at once: ids, parts, counts and leakage."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from jaxrec.command_line import run_command
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.prepared import dataset_sha256, load_dataset
from jaxrec.data.shards.prepare import prepare_shards
from jaxrec.errors import UserError
from jaxrec.prepare import main

from .making import sharded, write_events

EVERY_FILTER = FilterConfig(min_rating=2, start_time=150, end_time=880, user_core=4, item_core=3, min_events=5)
SETTINGS = {
    "random": DataConfig(filter=EVERY_FILTER),
    "temporal": DataConfig(order="temporal", ratio=(8, 1, 1), split_seed=3),
    "leave_one_out": DataConfig(split="leave_one_out", filter=FilterConfig(duplicates="last", item_core=2)),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_shards_equal_what_is_read_at_once(name, tmp_path):
    streamed, config = sharded(tmp_path, SETTINGS[name])
    events = tmp_path / "events.csv"
    whole = load_dataset(dataclasses.replace(config, path=str(events), cache=str(tmp_path / "cache")))
    assert streamed.sha256 == whole.sha256 == dataset_sha256(config)
    assert streamed.provenance == whole.provenance
    np.testing.assert_array_equal(streamed.users.raw, whole.users.raw)
    np.testing.assert_array_equal(streamed.items.raw, whole.items.raw)
    np.testing.assert_array_equal(streamed.item_counts, whole.item_counts)
    for part in ("train", "valid", "test"):
        ours, theirs = getattr(streamed, part), getattr(whole, part)
        order = np.lexsort((theirs.item_ids, theirs.user_ids))
        np.testing.assert_array_equal(ours.user_ids, theirs.user_ids[order])
        np.testing.assert_array_equal(ours.item_ids, theirs.item_ids[order])
    sizes = np.asarray(streamed.shards.rows)
    assert sizes.sum() == len(whole.train)
    assert sizes.max() - sizes.min() <= 1


def test_a_folder_of_parquet_files_is_one_source(tmp_path):
    write_events(tmp_path / "events.csv", rows=300)
    frame = pl.read_csv(tmp_path / "events.csv")
    (tmp_path / "parts").mkdir()
    for number, part in enumerate((frame[:100], frame[100:220], frame[220:])):
        part.write_parquet(tmp_path / "parts" / f"{number}.parquet")
    found = []
    for source in ("events.csv", "parts"):
        config = DataConfig(path=str(tmp_path / source))
        prepare_shards(config, tmp_path / f"of {source}")
        found.append(load_dataset(dataclasses.replace(config, path=str(tmp_path / f"of {source}"))))
    np.testing.assert_array_equal(found[0].train.item_ids, found[1].train.item_ids)
    assert found[1].provenance["source"]["files"] == ["0.parquet", "1.parquet", "2.parquet"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": "global_temporal"}, "data.split: found global_temporal with --shards"),
        ({"reviews": True}, "data.reviews: found True"),
        ({"noise": 0.1}, "data.noise: found 0.1"),
        ({"pool": True}, "data.pool: found True"),
        ({"behaviors": ("click=1",)}, "data.behaviors: found click=1"),
        ({"format": "amazon"}, "data.format: found amazon"),
        ({"filter": FilterConfig(duplicates="keep")}, "data.filter.duplicates: found keep"),
        ({"filter": FilterConfig(min_rating=9)}, "data.filter.min_rating = 9: none of 60 interactions"),
        ({"filter": FilterConfig(user_core=50)}, "data.filter.user_core = 50"),
    ],
)
def test_what_cannot_be_streamed_is_refused_by_name(change, words, tmp_path):
    write_events(tmp_path / "events.csv", rows=60)
    with pytest.raises(UserError, match=words.replace(".", r"\.")):
        prepare_shards(DataConfig(path=str(tmp_path / "events.csv"), **change), tmp_path / "shards")
    assert [file.name for file in tmp_path.iterdir()] == ["events.csv"]


def test_bad_rows_are_named_or_counted(tmp_path):
    write_events(tmp_path / "events.csv", rows=200)
    with (tmp_path / "events.csv").open("a") as file:
        file.write("5,i17,good,200\n")
    config = DataConfig(path=str(tmp_path / "events.csv"))
    with pytest.raises(UserError, match=r"events.csv: line 202, column 'rating': found 'good'"):
        prepare_shards(config, tmp_path / "shards")
    prepare_shards(dataclasses.replace(config, on_bad_row="skip"), tmp_path / "shards")
    assert json.loads((tmp_path / "shards" / "provenance.json").read_text())["source"]["skipped_rows"] == 1


def test_other_settings_and_damaged_files_are_refused(tmp_path):
    _, config = sharded(tmp_path)
    with pytest.raises(UserError, match=r"data.filter.user_core: found 0, but .* was prepared with 3"):
        load_dataset(dataclasses.replace(config, filter=FilterConfig()))
    with pytest.raises(UserError, match=r"data.split: found leave_one_out"):
        load_dataset(dataclasses.replace(config, split="leave_one_out"))
    items = tmp_path / "shards" / "valid.items.npy"
    data = bytearray(items.read_bytes())
    data[-1] ^= 1
    items.write_bytes(data)
    with pytest.raises(UserError, match=r"valid.items.npy: its sha256"):
        load_dataset(config)
    items.write_bytes(data[:-4])
    with pytest.raises(UserError, match=r"valid.items.npy: not the .* bytes"):
        load_dataset(config)


def test_the_command_writes_shards_and_never_over_anything(capsys, tmp_path):
    write_events(tmp_path / "events.csv")
    argv = ["--path", str(tmp_path / "events.csv"), "--shards", str(tmp_path / "shards"), "--filter.user-core", "2"]
    assert run_command(main, argv) == 0
    captured = capsys.readouterr()
    assert "user_core 2" in captured.out
    assert "--data.path" in captured.err
    assert run_command(main, argv) == 2
    assert "exists; allowed: a new or empty folder" in capsys.readouterr().err
    assert run_command(main, [*argv, "--out", str(tmp_path / "out")]) == 2

import dataclasses
import errno
import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxrec.data import prepared_cache
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.export import export
from jaxrec.data.prepared import load_dataset
from jaxrec.data.recipe import recipe, recipe_sha256
from jaxrec.errors import UserError
from tests.data.making import raw_rows

PARTS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own for every test, and no data to be found by name."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("JAXREC_CACHE", str(folder))
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    return folder


@pytest.fixture
def source(tmp_path):
    """A folder with 300 interactions of 20 users, and texts of some items."""
    folder = tmp_path / "shop"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = {(int(u), int(i)) for u, i in rng.integers(0, (20, 40), (400, 2))}
    lines = [f"ü{u},b{i},{1 + (u + i) % 5},{1000 + 7 * n}" for n, (u, i) in enumerate(sorted(rows))]
    (folder / "interactions.csv").write_text("user,item,rating,timestamp\n" + "\n".join(lines) + "\n")
    texts = [json.dumps({"item": f"b{i}", "text": f"Título {i} 書"}) for i in range(30)]
    (folder / "item_text.jsonl").write_text("\n".join(texts) + "\n")
    return folder


def same(a, b):
    assert (a.name, a.source, a.sha256, a.provenance, a.item_text) == (
        b.name,
        b.source,
        b.sha256,
        b.provenance,
        b.item_text,
    )
    for name in PARTS:
        one, other = getattr(a, name), getattr(b, name)
        assert one.behavior_names == other.behavior_names
        for column in ("user_ids", "item_ids", "ratings", "timestamps", "behaviors", "parts"):
            x, y = getattr(one, column), getattr(other, column)
            assert (x is None) == (y is None)
            if x is not None:
                np.testing.assert_array_equal(x, y)
                assert x.dtype == y.dtype
        np.testing.assert_array_equal(one.users.raw, other.users.raw)
        np.testing.assert_array_equal(one.items.raw, other.items.raw)


def load(source, events=None, **settings):
    return load_dataset(DataConfig(path=str(source), **settings), None if events is None else events.append)


def test_what_is_prepared_says_where_it_comes_from(source):
    dataset = load(source, name="shop", filter=FilterConfig(min_rating=2, user_core=3))
    record = dataset.provenance
    assert dataset.name == "shop"
    assert dataset.source == "path"
    assert record["source"]["name"] == "shop"
    assert record["source"]["format"] == "csv"
    assert set(record["source"]["files"]) == {"interactions.csv", "item_text.jsonl"}
    assert [step["step"] for step in record["steps"]] == ["min_rating", "duplicates", "user_core"]
    assert record["split"]["rule"] == "ratio"
    sizes = {name: len(getattr(dataset, name)) for name in PARTS}
    assert record["statistics"]["interactions"] == sizes
    assert record["statistics"]["unseen_items"] == dataset.num_unseen_items
    assert record["leakage"]["shared_pairs"]["train_test"] == 0
    assert str(source.parent) not in json.dumps(record)
    # Raw ids and texts belong together to the end.
    assert all(raw.startswith("ü") for raw in dataset.users.raw.tolist())
    for raw, text in zip(dataset.items.raw.tolist(), dataset.item_text, strict=True):
        assert text == (f"Título {raw[1:]} 書" if int(raw[1:]) < 30 else "")


def test_the_second_load_is_the_first(source, cache):
    events = []
    first, second = load(source, events), load(source, events)
    same(first, second)
    assert [event.split()[0] for event in events] == ["reading", "using"]
    (entry,) = cache.iterdir()
    assert sorted(file.name for file in entry.iterdir()) == ["arrays.npz", "manifest.json", "provenance.json"]
    # No pickles: what needs one is refused by this loader.
    with np.load(entry / "arrays.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)


def test_without_text_or_ratings_too(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("user,item\n" + "".join(f"{u},{i}\n" for u in range(6) for i in range(5)))
    first, second = load(path), load(path)
    same(first, second)
    assert first.item_text is None
    assert first.train.timestamps is first.train.ratings is None
    assert first.provenance["leakage"]["time"] is None


def damage(entry, name, how):
    file = entry / name
    data = bytearray(file.read_bytes())
    if how == "flip":
        data[len(data) // 2] ^= 0x10
    elif how == "truncate":
        data = data[: len(data) // 2]
    elif how == "empty":
        data = bytearray()
    file.unlink()
    if how != "missing":
        file.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["flip", "truncate", "empty", "missing"])
@pytest.mark.parametrize("name", ["arrays.npz", "provenance.json", "manifest.json"])
def test_a_damaged_entry_is_named_and_built_anew(source, cache, name, how):
    first = load(source)
    (entry,) = cache.iterdir()
    damage(entry, name, how)
    events = []
    same(load(source, events), first)
    if (name, how) != ("manifest.json", "flip"):  # there the flipped bit may lie in the name, which is not used
        assert "damaged" in events[0]
        assert "reading" in events[1]
    events.clear()
    same(load(source, events), first)
    assert events[0].startswith("using")
    assert len(list(cache.iterdir())) == 1


def test_content_and_recipe_are_in_the_key_and_name_and_place_are_not(source, tmp_path):
    base = load(source)
    moved = tmp_path / "elsewhere"
    source.rename(moved)
    events = []
    again = load(moved, events, name="other")
    assert events[0].startswith("using")
    assert again.sha256 == base.sha256
    assert again.name == "other"
    assert again.provenance["source"]["name"] == "elsewhere"
    assert load(moved, split_seed=1).sha256 != base.sha256
    assert load(moved, filter=FilterConfig(user_core=2)).sha256 != base.sha256
    file = moved / "interactions.csv"
    file.write_text(file.read_text() + "ü1,b99,3,9999\n")
    changed = load(moved)
    assert changed.sha256 != base.sha256
    assert "b99" in changed.items.raw.tolist()


def test_every_setting_is_in_the_recipe_or_known_not_to_matter():
    apart = {"name", "path", "require_real", "cache", "published"}
    fields = {field.name for field in dataclasses.fields(DataConfig)}
    in_use = DataConfig(reviews=True, behaviors=("a=b",), leave_one_out_from=2, implied="drop")
    assert set(recipe(in_use)) - {"version"} == fields - apart


def test_a_config_that_was_written_down_and_read_again_means_the_same_data():
    given = DataConfig(ratio=(8, 1, 1), noise=0)
    # What JSON gives back as a float.
    again = DataConfig(ratio=(8.0, 1.0, 1.0), noise=0.0)
    assert recipe_sha256("content", given) == recipe_sha256("content", again)


def test_a_cache_that_cannot_be_written_is_said_and_done_without(source, tmp_path, monkeypatch):
    reference = load(source)
    file = tmp_path / "file"
    file.write_text("not a folder")
    events = []
    same(load(source, events, cache=str(file)), reference)
    assert "cannot be kept" in events[-1]
    assert file.read_text() == "not a folder"

    def full(*arguments, **arrays):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    events.clear()
    same(load(source, events, cache=str(tmp_path / "full")), reference)
    assert "No space left on device" in events[-1]
    assert list((tmp_path / "full").iterdir()) == []


def test_what_a_killed_process_left_is_removed_after_a_day(source, cache):
    import os

    for name, age in (("old", 2 * 86400), ("new", 60)):
        left = cache / f".writing-{name}" / "fresh"
        left.mkdir(parents=True)
        os.utime(left.parent, (time.time() - age,) * 2)
    load(source)
    assert not (cache / ".writing-old").exists()
    assert (cache / ".writing-new").exists()


_STORE_FOREVER = """
import pathlib, sys
from jaxrec.data import prepared_cache
from jaxrec.data.config import DataConfig
from jaxrec.data.prepared import load_dataset
dataset = load_dataset(DataConfig(path=sys.argv[1]))
print("ready", flush=True)
rounds = int(sys.argv[3])
while rounds:
    prepared_cache.store(dataset, pathlib.Path(sys.argv[2]))
    rounds -= 1
"""


def writer(source, entry, rounds):
    command = [sys.executable, "-c", _STORE_FOREVER, str(source), str(entry), str(rounds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process


@pytest.mark.multiprocess
def test_two_processes_and_kill_9_leave_a_whole_entry_or_none(source, cache, tmp_path):
    reference = load(source)
    entry = tmp_path / "shared" / "entry"
    steady, killed = writer(source, entry, 60), writer(source, entry, -1)
    with steady, killed:
        assert killed.stdout.readline() == "ready\n"
        reads = 0
        while steady.poll() is None:
            try:
                found = prepared_cache.load(entry, reference.sha256)
            except prepared_cache.DamagedEntryError:
                # The files of two equal entries met: the reader prepares anew.
                continue
            if found is not None:
                same(found, reference)
                reads += 1
            if reads == 5:
                killed.send_signal(signal.SIGKILL)
        killed.kill()
        assert steady.returncode == 0
    assert reads > 5
    # Whatever the killed process left, the next store mends it.
    prepared_cache.store(reference, entry)
    same(prepared_cache.load(entry, reference.sha256), reference)


def test_without_data_the_sample_is_used_and_says_so(source, monkeypatch):
    sample = load_dataset(DataConfig(name="steam"))
    assert sample.source == "sample"
    assert sample.name == "steam"
    assert sample.provenance["source"]["version"] == 1
    assert sample.item_text is not None
    assert all(sample.item_text)
    with pytest.raises(UserError, match=r"data.require_real.*JAXREC_DATA is not set.*--data.path"):
        load_dataset(DataConfig(name="steam", require_real=True))
    monkeypatch.setenv("JAXREC_DATA", str(source.parent))
    assert load_dataset(DataConfig(name="steam")).source == "sample"
    found = load_dataset(DataConfig(name="shop", require_real=True))
    assert found.source == "path"
    assert found.sha256 == load(source).sha256
    with pytest.raises(UserError, match=r"\$JAXREC_DATA/steam does not exist"):
        load_dataset(DataConfig(name="steam", require_real=True))


def test_the_sample_is_divided_even_where_a_config_says_given():
    plain = load_dataset(DataConfig())
    config = DataConfig(split="given", filter=FilterConfig(behavior="buy", min_rating=60.0))
    given = load_dataset(config)
    assert given.sha256 == plain.sha256
    assert given.provenance["source"]["ignored_settings"] == {
        "filter.behavior": "buy",
        "filter.min_rating": 60.0,
        "split": "given",
    }
    assert given.provenance["split"]["rule"] == "ratio"
    same(dataclasses.replace(given, provenance={}), dataclasses.replace(plain, provenance={}))


def test_a_path_that_does_not_exist_names_its_nearest(source):
    with pytest.raises(UserError, match=r"data.path: .*shpo does not exist \(nearest: .*shop\)"):
        load(source.parent / "shpo")


def test_places_in_a_sequence_are_an_order_and_no_times(tmp_path):
    path = tmp_path / "sequences.txt"
    path.write_text("1 5 3 4 2 1\n2 1 2 3\n")
    dataset = load(path, split="leave_one_out")
    assert dataset.train.timestamps is None
    assert raw_rows(dataset.test) == [("1", "1"), ("2", "3")]
    assert raw_rows(dataset.valid) == [("1", "2"), ("2", "2")]
    assert raw_rows(load(path, order="temporal").test)[0] == ("1", "1")
    with pytest.raises(UserError, match="no times"):
        load(path, split="global_temporal")


def test_given_parts_that_overlap_are_reported_and_kept(tmp_path):
    for name, rows in {"train": "0,0\n0,1\n1,1\n", "valid": "0,1\n", "test": "1,0\n"}.items():
        (tmp_path / f"{name}.csv").write_text("user,item\n" + rows)
    dataset = load_dataset(DataConfig(path=str(tmp_path), split="given", cache=str(tmp_path / "cache")))
    assert [len(getattr(dataset, name)) for name in PARTS] == [3, 1, 1]
    assert dataset.provenance["leakage"]["shared_pairs"]["train_valid"] == 1


def test_skipped_rows_are_counted_without_the_place_of_the_file(source):
    file = source / "interactions.csv"
    file.write_text(file.read_text() + "ü1,b1,bad,5\n")
    with pytest.raises(UserError):
        load(source)
    record = load(source, on_bad_row="skip").provenance["source"]
    assert record["skipped_rows"] == 1
    assert record["skipped_examples"][0].startswith("interactions.csv: line")


def test_an_export_is_read_back_as_given_parts(source, tmp_path):
    dataset = load(source)
    out = tmp_path / "out" / "new"
    export(dataset, out)
    assert {file.name for file in out.iterdir()} == {
        *(f"{name}.csv" for name in PARTS),
        "item_text.jsonl",
        "provenance.json",
    }
    again = load(out, split="given")
    for name in PARTS:
        assert raw_rows(getattr(again, name)) == raw_rows(getattr(dataset, name))
    texts = dict(zip(dataset.items.raw.tolist(), dataset.item_text, strict=True))
    assert dict(zip(again.items.raw.tolist(), again.item_text, strict=True)) == texts
    with pytest.raises(UserError, match="--out"):
        export(dataset, out)


@pytest.mark.real_data
def test_amazon_book_keeps_its_authors_parts(real_data):
    dataset = load(real_data / "amazon_book", split="given")
    assert (dataset.num_users, dataset.num_items) == (11000, 9332)
    assert [len(getattr(dataset, name)) for name in PARTS] == [120464, 40290, 40106]


@pytest.mark.real_data
def test_the_parts_of_steam_are_pooled(real_data):
    with pytest.raises(UserError, match=r"no train part.*--data.pool"):
        load(real_data / "steam_partial", split="given")
    dataset = load(real_data / "steam_partial", pool=True)
    sizes = [len(getattr(dataset, name)) for name in PARTS]
    assert sum(sizes) == dataset.provenance["steps"][0]["after"]["interactions"]
    assert abs(sizes[1] - sizes[2]) < 0.01 * sum(sizes)
    assert pathlib.Path(dataset.provenance["source"]["name"]).name == "steam_partial"

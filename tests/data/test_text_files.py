"""Given text features: read back as written, aligned by raw id, and refused with a line where they do not fit."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxrec.data.dataset import Dataset
from jaxrec.data.text import load_text
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_files import read_text_files, write_text_features
from jaxrec.errors import UserError
from tests.data.making import interactions

RAW = (["ann", "bob", "eve"], ["lamp", "sofa", "rug", "vase"])


def dataset(test=((1, 0), (2, 1)), sha256="d" * 64):
    train, valid, test = (interactions(pairs, raw=RAW) for pairs in (((0, 0), (0, 1), (1, 3), (2, 2)), (), test))
    return Dataset("home", "path", train, valid, test, sha256, {})


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


def refused(config):
    """The one line that the load is refused with."""
    with pytest.raises(UserError) as caught:
        load_text(config, dataset())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_round_trip_through_a_folder(tmp_path, vectors):
    user = vectors[:3] * 2
    user_mask = np.array([True, False, True])
    extra = {"inputs_sha256": "a" * 64}
    manifest = write_text_features(
        tmp_path / "t", vectors, model="tower", user=user, user_mask=user_mask, item_mask=np.ones(4, bool), extra=extra
    )
    features = load_text(TextConfig(path=str(tmp_path / "t")), dataset())
    np.testing.assert_array_equal(features.item, vectors)
    np.testing.assert_array_equal(features.user, user * user_mask[:, None])
    np.testing.assert_array_equal(features.user_mask, user_mask)
    assert features.item_mask.all()
    assert features.source == "given"
    assert features.manifest == json.loads(manifest.read_text())
    assert features.manifest["model"] == "tower"
    assert features.manifest["inputs_sha256"] == "a" * 64


def test_rows_are_aligned_by_raw_id(tmp_path, vectors):
    write_text_features(
        tmp_path, vectors, model="tower", item_ids=["vase", "mirror", "lamp", "rug"], user=vectors[:2],
        user_ids=["eve", "ann"],
    )  # fmt: skip
    features = load_text(TextConfig(path=str(tmp_path)), dataset())
    np.testing.assert_array_equal(features.item, [vectors[2], np.zeros(5), vectors[3], vectors[0]])
    np.testing.assert_array_equal(features.item_mask, [True, False, True, True])
    np.testing.assert_array_equal(features.user, [vectors[1], np.zeros(5), vectors[0]])
    np.testing.assert_array_equal(features.user_mask, [True, False, True])


def test_items_alone_build_users_from_training_items(tmp_path, vectors):
    np.save(tmp_path / "item.npy", vectors.astype(np.float64))
    features = load_text(TextConfig(path=str(tmp_path / "item.npy")), dataset())
    np.testing.assert_allclose(features.item, vectors)
    np.testing.assert_allclose(features.user[1], vectors[3], rtol=1e-6)
    assert features.user_mask.all()
    other = load_text(TextConfig(path=str(tmp_path / "item.npy")), dataset(test=((0, 2),)))
    np.testing.assert_array_equal(features.user, other.user)


def test_zero_rows_without_a_mask_are_no_text(tmp_path, vectors):
    vectors[1] = 0
    np.save(tmp_path / "item.npy", vectors)
    features = load_text(TextConfig(path=str(tmp_path / "item.npy")), dataset())
    np.testing.assert_array_equal(features.item_mask, [True, False, True, True])


def test_safetensors_file_and_folder(tmp_path, vectors):
    mask = np.array([True, True, True, False])
    tensors = {"item": vectors, "user": np.ascontiguousarray(vectors[:3].astype(np.float16)), "item_mask": mask}
    save_file(tensors, tmp_path / "x.safetensors")
    manifest = {"schema": 1, "model": "m", "dim": 5, "item": "x.safetensors", "user": "x.safetensors"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    for path in (tmp_path, tmp_path / "x.safetensors"):
        features = load_text(TextConfig(path=str(path)), dataset())
        np.testing.assert_array_equal(features.user, vectors[:3].astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(features.item_mask, mask)
    assert not features.item[3].any()


def test_hash_is_of_the_content_not_of_the_place(tmp_path, vectors):
    changed = vectors.copy()
    changed[0, 0] += 1
    for name, array in (("a", vectors), ("b", vectors), ("c", changed)):
        write_text_features(tmp_path / name, array, model="tower")
    write_text_features(tmp_path / "d", vectors, model="other tower")
    first, same, *others = (read_text_files(tmp_path / name).sha256 for name in "abcd")
    assert first == same
    assert len({first, *others}) == 3


def test_user_text_of_another_split_is_refused(tmp_path, vectors):
    extra = {"dataset_sha256": "e" * 64}
    write_text_features(tmp_path / "users", vectors, model="tower", user=vectors[:3], extra=extra)
    message = refused(TextConfig(path=str(tmp_path / "users")))
    assert "eeeeeeeeeeee), so they may tell of test items; this one is dddddddddddd" in message
    assert load_text(TextConfig(path=str(tmp_path / "users")), dataset(sha256="e" * 64)) is not None
    # Item texts say nothing of the split, unless they hold reviews.
    write_text_features(tmp_path / "items", vectors, model="tower", extra=extra)
    assert load_text(TextConfig(path=str(tmp_path / "items")), dataset()) is not None
    write_text_features(tmp_path / "reviews", vectors, model="tower", extra=extra | {"reviews": 3})
    assert "its reviews are of another data set or split" in refused(TextConfig(path=str(tmp_path / "reviews")))


def test_nothing_is_written_over(tmp_path, vectors):
    write_text_features(tmp_path, vectors, model="tower")
    with pytest.raises(UserError, match="already there"):
        write_text_features(tmp_path, vectors * 2, model="tower")
    np.testing.assert_array_equal(np.load(tmp_path / "item.npy"), vectors)


def test_folder_that_is_a_file(tmp_path, vectors):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="taken: cannot write"):
        write_text_features(tmp_path / "taken", vectors, model="tower")


def test_raw_ids_of_several_lines_cannot_be_written(tmp_path, vectors):
    with pytest.raises(ValueError, match="line break"):
        write_text_features(tmp_path, vectors, model="tower", item_ids=["a", "b\nc", "d", "e"])
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((7, 5), np.float32), ("item.npy", "7 rows", "4 items")),
        (np.zeros(4, np.float32), ("item.npy", "[4]", "[rows, dim]")),
        (np.zeros((0, 5), np.float32), ("item.npy", "[0, 5]")),
        (np.zeros((4, 5), np.int64), ("item.npy", "int64", "float32")),
        (np.array([[1, 2], [3, np.nan], [np.inf, 0], [1, 1]]), ("item.npy", "row 1", "NaN")),
        (np.array([[1, 2], [3, 1], [2, 1e300], [1, 1]]), ("item.npy", "row 2", "infinity")),
    ],
)
def test_bad_arrays(tmp_path, array, words):
    np.save(tmp_path / "item.npy", array)
    message = refused(TextConfig(path=str(tmp_path / "item.npy")))
    assert all(word in message for word in words)


def test_user_rows_that_do_not_fit(tmp_path, vectors):
    write_text_features(tmp_path, vectors, model="tower", user=vectors)
    message = refused(TextConfig(path=str(tmp_path)))
    assert "user.npy: 4 rows" in message
    assert "3 users" in message


def test_user_vectors_of_another_width(tmp_path, vectors):
    write_text_features(tmp_path, vectors, model="tower", user=vectors[:3, :4])
    message = refused(TextConfig(path=str(tmp_path)))
    assert "user.npy: vectors of 4 numbers; 5" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, ("manifest.json", "schema 2", "1")),
        ({"item": None}, ("manifest.json", "item", "missing")),
        ({"model": None}, ("manifest.json", "model", "missing")),
        ({"dim": None}, ("manifest.json", "dim", "missing")),
        ({"dim": "5"}, ("manifest.json", "dim '5'")),
        ({"dim": 6}, ("item.npy", "5 numbers", "6")),
        ({"item": "../item.npy"}, ("manifest.json", "../item.npy", "same folder")),
        ({"user": "absent.npy"}, ("absent.npy", "not found", "user")),
        ({"item": "item.csv"}, ("item.csv", ".npy")),
        ({"item_ids": "short.txt"}, ("short.txt", "2 raw ids", "4 rows")),
        ({"item_ids": "twice.txt"}, ("twice.txt", "line 3", '"lamp"', "line 1")),
        ({"item_ids": "strange.txt"}, ("item.npy", '"1"', '"lamp"')),
        ({"item_ids": "latin.txt"}, ("latin.txt", "UTF-8")),
        ({"item_mask": "ints.npy"}, ("ints.npy", "int64", "bool")),
    ],
)
def test_bad_manifests(tmp_path, vectors, change, words):
    np.save(tmp_path / "item.npy", vectors)
    np.save(tmp_path / "ints.npy", np.ones(4, np.int64))
    for name, text in (
        ("short.txt", "lamp\nsofa\n"),
        ("twice.txt", "lamp\r\nsofa\r\nlamp\r\nrug\r\n"),
        ("strange.txt", "1\n2\n3\n4"),
        ("item.csv", "1,2"),
    ):
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.txt").write_bytes(b"na\xefve\n1\n2\n3\n")
    manifest = {"schema": 1, "model": "m", "dim": 5, "item": "item.npy"} | change
    manifest = {key: value for key, value in manifest.items() if value is not None}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    message = refused(TextConfig(path=str(tmp_path)))
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("manifest.json", b"", ("manifest.json", "line 1", "not JSON")),
        ("manifest.json", b"[1]", ("manifest.json", "list", "object")),
        ("other.json", b"{}", ("manifest.json", "not found")),
    ],
)
def test_folders_without_a_manifest(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    message = refused(TextConfig(path=str(tmp_path)))
    assert all(word in message for word in words)


@pytest.mark.parametrize("cut", [0, 3, 100, 140])
def test_truncated_npy(tmp_path, vectors, cut):
    np.save(tmp_path / "item.npy", vectors)
    whole = (tmp_path / "item.npy").read_bytes()
    (tmp_path / "item.npy").write_bytes(whole[:cut])
    assert "item.npy: not a whole .npy" in refused(TextConfig(path=str(tmp_path / "item.npy")))


def test_pickled_arrays_are_not_opened(tmp_path):
    np.save(tmp_path / "item.npy", np.array([{"a": 1}], object), allow_pickle=True)
    assert "item.npy: not a whole .npy" in refused(TextConfig(path=str(tmp_path / "item.npy")))


@pytest.mark.parametrize("cut", [0, 5, 60, 150])
def test_truncated_safetensors(tmp_path, vectors, cut):
    save_file({"item": vectors}, tmp_path / "x.safetensors")
    whole = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(whole[: min(cut, len(whole) - 1)])
    assert "x.safetensors: not a whole" in refused(TextConfig(path=str(tmp_path / "x.safetensors")))


def test_safetensors_without_items(tmp_path, vectors):
    save_file({"users": vectors}, tmp_path / "x.safetensors")
    message = refused(TextConfig(path=str(tmp_path / "x.safetensors")))
    assert "no tensor `item`; found users" in message


def test_file_of_another_kind(tmp_path):
    (tmp_path / "x.csv").write_text("1,2")
    assert "x.csv" in refused(TextConfig(path=str(tmp_path / "x.csv")))

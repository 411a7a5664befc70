"""Text features: aligned, masked, blind to the test part, and refused with a line where they do not fit."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.sample import make_sample
from jaxrec.data.text import load_text, require_text, users_from_items
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_files import read_text_files, write_text_features
from jaxrec.errors import UserError
from tests.data.making import interactions

RAW = (["ann", "bob", "eve"], ["lamp", "sofa", "rug", "vase"])
# Words that each stand in two texts; the rug has none.
TEXTS = ("warm light", "soft warm seat", "", "soft light glass")


def dataset(train=((0, 0), (0, 1), (1, 3), (2, 2)), test=((1, 0), (2, 1)), item_text=TEXTS, sha256="d" * 64):
    train, valid, test = (interactions(pairs, raw=RAW) for pairs in (train, (), test))
    return Dataset("home", "path", train, valid, test, sha256, {}, item_text)


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


def refused(config, data=None):
    """The one line that the load is refused with."""
    with pytest.raises(UserError) as caught:
        load_text(config, data or dataset())
    assert "\n" not in str(caught.value)
    return str(caught.value)


# TF-IDF


def tfidf_by_hand(texts):
    """Sublinear TF-IDF with smoothed idf over words of two texts or more, in plain Python: rows of length 1."""
    split = [text.split() for text in texts]
    words = sorted({word for text in split for word in text if sum(word in other for other in split) >= 2})
    worded = sum(bool(text) for text in split)
    rows = np.zeros((len(texts), len(words)))
    for row, text in enumerate(split):
        for column, word in enumerate(words):
            if word in text:
                idf = np.log((1 + worded) / (1 + sum(word in other for other in split))) + 1
                rows[row, column] = (1 + np.log(text.count(word))) * idf
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def test_tfidf_of_full_rank_keeps_every_cosine():
    features = load_text(TextConfig(), dataset())
    assert features.source == "tfidf"
    assert features.item.dtype == features.user.dtype == np.float32
    # Three words stand in two texts: the width is the rank, not 256.
    assert features.item.shape == (4, 3)
    by_hand = tfidf_by_hand(TEXTS)
    np.testing.assert_allclose(features.item @ features.item.T, by_hand @ by_hand.T, atol=1e-5)


def test_items_without_text_and_their_users_are_masked():
    features = load_text(TextConfig(), dataset())
    np.testing.assert_array_equal(features.item_mask, [True, True, False, True])
    np.testing.assert_array_equal(features.user_mask, [True, True, False])
    assert not features.item[2].any()
    assert not features.user[2].any()
    np.testing.assert_allclose(np.linalg.norm(features.item[features.item_mask], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(features.user[features.user_mask], axis=1), 1, atol=1e-6)


def test_item_of_rare_words_alone_has_no_text():
    features = load_text(TextConfig(), dataset(item_text=("warm light", "soft warm", "unheard", "soft light")))
    np.testing.assert_array_equal(features.item_mask, [True, True, False, True])


def test_truncated_width():
    sample = make_sample(0)
    data = Dataset("sample", "sample", *[sample.interactions] * 3, "s", {}, sample.item_text)
    features = load_text(TextConfig(dim=16), data)
    assert features.item.shape == (600, 16)
    assert features.user.shape == (1000, 16)
    # Items of one motivation and theme lie closer in text than others, and users near what they took.
    planted = sample.truth.item_motivations @ sample.truth.item_motivations.T
    planted += sample.truth.taste.item_themes @ sample.truth.taste.item_themes.T
    pairs = np.triu_indices(600, 1)
    assert np.corrcoef((features.item @ features.item.T)[pairs], planted[pairs])[0, 1] > 0.5
    closeness = features.user @ features.item.T
    taken = closeness[sample.interactions.user_ids, sample.interactions.item_ids]
    assert taken.mean() > closeness.mean() + closeness.std()


def test_tfidf_repeats_bit_for_bit():
    first, second = (load_text(TextConfig(), dataset()) for _ in range(2))
    np.testing.assert_array_equal(first.item, second.item)
    np.testing.assert_array_equal(first.user, second.user)
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("change", [{"sha256": "e" * 64}, {"item_text": ("warm soft", *TEXTS[1:])}])
def test_tfidf_hash_follows_the_data(change):
    assert load_text(TextConfig(), dataset(**change)).sha256 != load_text(TextConfig(), dataset()).sha256


def test_user_text_is_blind_to_the_test_part():
    one = load_text(TextConfig(), dataset(test=((1, 0), (2, 1))))
    other = load_text(TextConfig(), dataset(test=((0, 3), (1, 1))))
    np.testing.assert_array_equal(one.user, other.user)
    np.testing.assert_array_equal(one.user_mask, other.user_mask)
    trained = load_text(TextConfig(), dataset(train=((0, 0), (0, 3), (1, 3), (2, 2))))
    assert not np.allclose(one.user[0], trained.user[0])
    np.testing.assert_array_equal(one.user[1], trained.user[1])


# Users from items


def test_user_is_the_mean_of_different_training_items(vectors):
    mask = np.array([True, True, False, True])
    data = dataset(train=((0, 0), (0, 0), (0, 1), (0, 2), (1, 3), (2, 2)))
    user, user_mask = users_from_items(np.where(mask[:, None], vectors, 0), mask, data)
    np.testing.assert_array_equal(user_mask, [True, True, False])
    mean = (vectors[0] + vectors[1]) / 2
    length = (np.linalg.norm(vectors[0]) + np.linalg.norm(vectors[1])) / 2
    np.testing.assert_allclose(user[0], mean / np.linalg.norm(mean) * length, rtol=1e-5)
    np.testing.assert_allclose(user[1], vectors[3], rtol=1e-5)


def test_opposite_vectors_give_no_user_text(vectors):
    opposite = np.stack([vectors[0], -vectors[0], vectors[1], vectors[2]])
    user, user_mask = users_from_items(opposite, np.ones(4, bool), dataset())
    assert not user_mask[0]
    assert not user[0].any()
    assert np.isfinite(user).all()


# What the config asks for


def test_none_and_auto():
    bare = dataset(item_text=None)
    assert load_text(TextConfig(source="none"), dataset()) is None
    assert load_text(TextConfig(), bare) is None
    assert load_text(TextConfig(), dataset(item_text=("", " ", "", ""))) is None


def test_a_model_without_text_is_told_the_choices():
    with pytest.raises(UserError) as caught:
        require_text(None, "lmmrec")
    for words in ("lmmrec", "--text.path DIR", "item_text.jsonl", "--text.source tfidf"):
        assert words in str(caught.value)
    features = load_text(TextConfig(), dataset())
    assert require_text(features, "lmmrec") is features


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (TextConfig(source="given"), ("text.source", "text.path")),
        (TextConfig(source="tfidf", path="x"), ("text.source", "tfidf", "x")),
        (TextConfig(source="none", path="x"), ("text.source", "none", "x")),
        (TextConfig(path="absent_folder"), ("absent_folder", "not found")),
        (TextConfig(dim=0), ("text.dim", "0")),
        (TextConfig(min_df=0), ("text.min_df", "0")),
        (TextConfig(min_df=4), ("text.min_df", "4", "3 item texts")),
    ],
)
def test_impossible_requests(config, words):
    message = refused(config)
    assert all(word in message for word in words)


def test_tfidf_without_item_text():
    assert "home has no item text" in refused(TextConfig(source="tfidf"), dataset(item_text=None))


# Given files


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
    assert "eeeeeeeeeeee" in message
    assert "dddddddddddd" in message
    assert load_text(TextConfig(path=str(tmp_path / "users")), dataset(sha256="e" * 64)) is not None
    # Item texts say nothing of the split.
    write_text_features(tmp_path / "items", vectors, model="tower", extra=extra)
    assert load_text(TextConfig(path=str(tmp_path / "items")), dataset()) is not None


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
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n1\n2\n3\n")
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


@pytest.mark.real_data
def test_real_titles_and_categories(real_data, tmp_path):
    from jaxrec.data.prepared import load_dataset

    config = DataConfig(name="yelp", path=str(real_data / "yelp_s3rec"), cache=str(tmp_path))
    data = load_dataset(config)
    features = load_text(TextConfig(), data)
    assert features.item.shape == (data.num_items, 256)
    assert features.user.shape == (data.num_users, 256)
    assert features.item_mask.mean() > 0.99
    assert features.user_mask.all()
    # Text alone, of training items only, ranks a user's test items above others.
    rng = np.random.default_rng(0)
    rows = rng.integers(len(data.test), size=5000)
    users = features.user[data.test.user_ids[rows]]
    own = (users * features.item[data.test.item_ids[rows]]).sum(axis=1)
    other = (users * features.item[rng.integers(data.num_items, size=5000)]).sum(axis=1)
    assert (own > other).mean() > 0.6

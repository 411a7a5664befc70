"""Text features: aligned, masked, blind to the test part, and refused with a line where they do not fit."""

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.sample import make_sample
from jaxrec.data.text import load_text, require_text, users_from_items
from jaxrec.data.text_config import TextConfig
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

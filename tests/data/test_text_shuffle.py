"""The control experiment for text: every text with another item, by a fixed rule, whatever the source."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrec.data.dataset import Dataset
from jaxrec.data.text import load_text, users_from_items
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_shuffle import dealt_rows, shuffle_texts
from tests.data.making import NO_DEADLINE, interactions

RAW = (["ann", "bob"], ["lamp", "sofa", "rug", "vase"])


def dataset(texts=None):
    train, valid, test = (interactions(pairs, raw=RAW) for pairs in ([(0, 0), (0, 1), (1, 3)], [], [(1, 0)]))
    return Dataset("home", "path", train, valid, test, "d" * 64, {}, texts)


@NO_DEADLINE
@given(st.lists(st.booleans(), max_size=50))
def test_every_text_is_dealt_once_and_nobody_keeps_their_own(mask):
    mask = np.asarray(mask, bool)
    rows = dealt_rows(mask)
    assert sorted(rows.tolist()) == list(range(len(mask)))
    np.testing.assert_array_equal(rows[~mask], np.flatnonzero(~mask))
    assert not mask.sum() > 1 or not (rows[mask] == np.flatnonzero(mask)).any()
    np.testing.assert_array_equal(dealt_rows(mask), rows)


def test_the_order_is_not_that_of_the_items():
    rows = dealt_rows(np.ones(1000, bool))
    assert abs(np.corrcoef(rows, np.arange(1000))[0, 1]) < 0.1
    assert (np.abs(rows - np.arange(1000)) < 10).mean() < 0.05


def test_vectors_of_words_go_with_the_dealt_texts():
    texts = ("warm light", "soft warm seat", "", "soft light glass")
    plain, shuffled = (load_text(TextConfig(shuffle=shuffle), dataset(texts)) for shuffle in (False, True))
    again = load_text(TextConfig(), dataset(shuffle_texts(texts)))
    np.testing.assert_array_equal(shuffled.item, again.item)
    np.testing.assert_array_equal(shuffled.user, again.user)
    np.testing.assert_array_equal(shuffled.item_mask, plain.item_mask)
    assert shuffled.sha256 != plain.sha256
    assert not np.allclose(shuffled.item, plain.item)


@pytest.mark.parametrize("with_users", [False, True])
def test_given_vectors_are_dealt_and_users_are_made_of_what_was_dealt(tmp_path, with_users):
    rng = np.random.default_rng(0)
    item, user = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32)
    item[2] = 0  # no text
    manifest = {"schema": 1, "model": "made", "dim": 3, "item": "item.npy"}
    np.save(tmp_path / "item.npy", item)
    if with_users:
        manifest["user"] = "user.npy"
        np.save(tmp_path / "user.npy", user)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    plain, dealt = (load_text(TextConfig(path=str(tmp_path), shuffle=s), dataset()) for s in (False, True))
    rows = dealt_rows(np.asarray([True, True, False, True]))
    np.testing.assert_array_equal(dealt.item, item[rows])
    np.testing.assert_array_equal(dealt.item_mask, plain.item_mask)
    expected = user[::-1] if with_users else users_from_items(item[rows], plain.item_mask, dataset())[0]
    np.testing.assert_array_equal(dealt.user, expected)
    assert dealt.sha256 != plain.sha256

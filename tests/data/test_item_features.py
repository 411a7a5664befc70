"""Features of items: aligned, masked, hashed by content, and refused where they do not fit."""

import dataclasses

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.item_features import check_item_features, encode_fields, load_item_features
from jaxrec.data.item_features_config import ItemFeaturesConfig
from jaxrec.data.prepared import load_dataset
from jaxrec.data.sample import make_sample
from jaxrec.data.text_files import write_text_features
from jaxrec.errors import UserError
from tests.eval.given import build_dataset


@pytest.fixture
def dataset():
    return build_dataset(2, 4, ([(0, 0), (0, 1), (1, 2)], [(0, 2)], [(0, 3)]))


def given(tmp_path, rows, name="image"):
    path = tmp_path / f"{name}.npy"
    np.save(path, np.asarray(rows, np.float32))
    return f"{name}={path}"


def test_rows_in_the_order_of_ids_and_a_zero_row_is_missing(tmp_path, dataset):
    found = load_item_features(ItemFeaturesConfig((given(tmp_path, [[1, 2], [0, 0], [3, 4], [5, 6]]),)), dataset)
    assert found.masks["image"].tolist() == [True, False, True, True]
    assert found.vectors["image"][2].tolist() == [3, 4]


def test_a_folder_with_raw_ids_is_brought_into_order(tmp_path, dataset):
    write_text_features(tmp_path / "made", np.asarray([[7.0], [8.0]]), model="test", item_ids=["i3", "i0"])
    found = load_item_features(ItemFeaturesConfig((f"text={tmp_path / 'made'}",)), dataset)
    assert found.vectors["text"].ravel().tolist() == [8, 0, 0, 7]
    assert found.masks["text"].tolist() == [True, False, False, True]


def test_the_hash_is_of_the_content_and_the_modality(tmp_path, dataset):
    def sha256(*paths):
        return load_item_features(ItemFeaturesConfig(paths), dataset).sha256

    one, other = given(tmp_path, np.eye(4)), given(tmp_path, np.eye(4), "text")
    assert sha256(one, other) == sha256(other, one)
    assert sha256(one) != sha256(other)
    before = sha256(one)
    given(tmp_path, 2 * np.eye(4))
    assert sha256(one) != before


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.eye(3), "3 rows of .* for 4 items"),
        ([[1.0], [np.nan], [1.0], [1.0]], "row 1 holds NaN"),
        (np.zeros((4, 2)), "no item of tiny has a vector"),
        (np.ones(4), r"shape \[4\]; \[rows, dim\] is needed"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, dataset, rows, words):
    with pytest.raises(UserError, match=words):
        load_item_features(ItemFeaturesConfig((given(tmp_path, rows),)), dataset)


@pytest.mark.parametrize("path", ["image", "=x.npy", "image=", "Id=x", "id=x.npy", "a/b=x"])
def test_a_path_without_a_modality_is_refused(path):
    with pytest.raises(UserError, match=r"features.paths: found .* allowed: modality=PATH"):
        check_item_features(ItemFeaturesConfig((path,)))


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(UserError, match="modality image twice"):
        check_item_features(ItemFeaturesConfig(("image=a", "image=b")))
    with pytest.raises(UserError, match=r"features.source: found none beside features.paths"):
        check_item_features(ItemFeaturesConfig(("image=a",), source="none"))


def test_the_sample_has_its_own(tmp_path):
    dataset = load_dataset(DataConfig(cache=str(tmp_path)))
    found = load_item_features(ItemFeaturesConfig(), dataset)
    sample = make_sample()
    place = sample.interactions.items.encode(dataset.items.raw[5:6])[0]
    np.testing.assert_array_equal(found.vectors["image"][5], sample.image_vectors[place])
    assert load_item_features(ItemFeaturesConfig(source="none"), dataset) is None


def test_fields_are_numbered_from_one_and_unknown_is_zero(dataset):
    fields = {"brand": np.asarray(["b", "", "a", "b"]), "seller": np.asarray(["x", "y", "x", "z"])}
    encoded = encode_fields(dataclasses.replace(dataset, item_fields=fields))
    assert encoded["brand"].tolist() == [2, 0, 1, 2]
    assert encoded["seller"].tolist() == [1, 2, 1, 3]

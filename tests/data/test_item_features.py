"""Features of items: aligned, masked, hashed by content, and refused where they do not fit."""

import dataclasses

import numpy as np
import pytest

from jaxrec.assembly import assemble
from jaxrec.config import Experiment, validate
from jaxrec.data.config import DataConfig
from jaxrec.data.item_features import check_item_features, encode_fields, load_item_features
from jaxrec.data.item_features_config import ItemFeaturesConfig
from jaxrec.data.prepared import load_dataset
from jaxrec.data.sample import make_sample
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_features import TextFeatures
from jaxrec.data.text_files import write_text_features
from jaxrec.errors import UserError
from jaxrec.models.popularity import PopularityConfig
from jaxrec.train.config import DevicesConfig
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


def text_of(vectors, mask=None):
    vectors = np.asarray(vectors, np.float32)
    mask = np.ones(len(vectors), bool) if mask is None else np.asarray(mask)
    return TextFeatures(np.zeros((2, vectors.shape[1]), np.float32), vectors, np.zeros(2, bool), mask, "given", "a", {})


def test_item_texts_are_a_modality_where_that_is_asked_for(tmp_path, dataset):
    text = text_of([[1, 0], [0, 1], [0, 0], [2, 2]], [True, True, False, True])
    assert load_item_features(ItemFeaturesConfig(), dataset, text) is None
    alone = load_item_features(ItemFeaturesConfig(text=True), dataset, text)
    assert list(alone.vectors) == ["text"]
    np.testing.assert_array_equal(alone.vectors["text"], text.item)
    assert alone.masks["text"].tolist() == [True, True, False, True]
    image = (given(tmp_path, np.eye(4)),)
    both = load_item_features(ItemFeaturesConfig(image, text=True), dataset, text)
    assert sorted(both.vectors) == ["image", "text"]
    other = dataclasses.replace(text, sha256="b")
    hashes = [
        load_item_features(ItemFeaturesConfig(paths, text=True), dataset, of).sha256
        for paths in ((), image)
        for of in (text, other)
    ]
    assert len({*hashes, load_item_features(ItemFeaturesConfig(image), dataset).sha256}) == 5
    with pytest.raises(UserError, match=r"features.text: tiny has no item text; allowed: --text.path"):
        load_item_features(ItemFeaturesConfig(text=True), dataset)
    with pytest.raises(UserError, match=r"the modality text beside features.text"):
        check_item_features(ItemFeaturesConfig(("text=x",), text=True))


def test_item_texts_reach_the_context_and_the_hash_of_a_run(tmp_path, monkeypatch):
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    monkeypatch.setattr(PopularityConfig, "needs_features", True, raising=False)
    devices, data = DevicesConfig(count=1), DataConfig(cache=str(tmp_path / "cache"))

    def assembled(text):
        config = ItemFeaturesConfig(text=text)
        experiment = Experiment(PopularityConfig(), data, TextConfig(dim=16), features=config, devices=devices)
        validate(experiment)
        return assemble(experiment, lambda line: None)

    read, unread = assembled(True), assembled(False)
    assert read.ctx.item_features["text"].shape == (600, 16)
    assert unread.ctx.item_features["text"].shape == (600, 64)
    assert read.ctx.item_text is None
    assert read.hash != unread.hash
    refused = Experiment(PopularityConfig(), data, TextConfig(source="none"), features=ItemFeaturesConfig(text=True))
    with pytest.raises(UserError, match=r"text.source: found none beside features.text"):
        validate(refused)
    monkeypatch.setattr(PopularityConfig, "needs_features", False)
    with pytest.raises(UserError, match=r"features.text: given, but model popularity reads none"):
        validate(refused)

"""Vectors of pictures and titles against references, and what is said of files that do not fit."""

import dataclasses
import sys

import numpy as np
import pytest
from PIL import Image

from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.prepared import load_dataset
from jaxrec.data.sample import make_sample
from jaxrec.data.text_files import read_text_files
from jaxrec.errors import UserError
from jaxrec.precompute.features.clip import Clip, read_clip
from jaxrec.precompute.features.config import FeaturesConfig
from jaxrec.precompute.features.pictures import BadPicture, find_pictures, read_picture, read_preparation
from jaxrec.precompute.features.step import STEP
from tests.data.making import interactions
from tests.precompute.fake_job import FakeJob
from tests.precompute.features import tiny_clip

RAW = (["u"], ["a", "b", "c", "d"])
TITLES = ("red lamp", "", "soft warm glass seat " * 9, "a\ud800\x00 blue")


def world(texts=TITLES):
    part = interactions([(0, 0), (0, 2)], raw=RAW)
    return Dataset("tiny", "path", part, part, part, "0" * 64, {}, item_text=texts)


def write_picture(path, size=(13, 17), seed=0, mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels).save(path)
    return path


def run(tmp_path, dataset, **changes):
    folder = tmp_path / "out"
    folder.mkdir()
    config = FeaturesConfig(**changes)
    config.validate()
    job = FakeJob(dataset, features=config)
    STEP.identity(job)
    return STEP.run(job, folder), folder, job


def test_vectors_are_those_of_the_reference(tmp_path):
    held = tiny_clip.tensors(4)
    clip = Clip(read_clip(tiny_clip.write_clip(tmp_path / "clip", held=held)))
    texts = ["red lamp", "", "soft warm glass seat " * 9, "unheard of", "blue"]
    found = clip.texts(texts)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(found[row], tiny_clip.text_by_hand(text, held), atol=1e-5)
    pixels = np.random.default_rng(0).normal(size=(35, 8, 8, 3)).astype(np.float32)
    found = clip.images(iter(pixels))
    assert found.shape == (35, tiny_clip.WIDTH)
    for row in (0, 1, 31, 32, 34):
        np.testing.assert_allclose(found[row], tiny_clip.image_by_hand(pixels[row], held), atol=1e-5)
    assert clip.images([]).shape == (0, tiny_clip.WIDTH)


@pytest.mark.parametrize(("size", "mode"), [((13, 17), "RGB"), ((40, 11), "RGB"), ((8, 8), "L"), ((9, 30), "RGBA")])
def test_pictures_are_prepared_as_transformers_does(tmp_path, size, mode):
    from transformers import CLIPImageProcessor

    path = write_picture(tmp_path / "a.png", size, mode=mode)
    preparation = read_preparation(tiny_clip.write_clip(tmp_path / "clip") / "preprocessor_config.json", 8)
    with Image.open(path) as image:
        wanted = CLIPImageProcessor(**tiny_clip.PREPARATION)(image, return_tensors="np")["pixel_values"][0]
    np.testing.assert_allclose(read_picture(path, preparation), wanted.transpose(1, 2, 0), atol=1e-5)


def test_pictures_and_titles_of_items_with_masks(tmp_path):
    held = tiny_clip.tensors()
    tiny_clip.write_clip(tmp_path / "clip", held=held)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    write_picture(pictures / "c.png", seed=1)
    write_picture(pictures / "a.PNG", seed=2)
    write_picture(pictures / "stranger.png")
    (pictures / "notes.txt").write_text("no picture")
    made, folder, _ = run(tmp_path, world(), clip=str(tmp_path / "clip"), images=str(pictures))
    assert made.rows["image"] == {"rows": 4, "present": 2, "bad": 0}
    assert made.rows["text"] == {"rows": 4, "present": 3, "bad": 0}
    image, text = (read_text_files(folder / kind) for kind in ("image", "text"))
    assert image.item.mask.tolist() == [True, False, True, False]
    assert text.item.mask.tolist() == [True, False, True, True]
    preparation = read_preparation(tmp_path / "clip" / "preprocessor_config.json", 8)
    for row, name in ((0, "a.PNG"), (2, "c.png")):
        wanted = tiny_clip.image_by_hand(read_picture(pictures / name, preparation), held)
        np.testing.assert_allclose(image.item.vectors[row], wanted, atol=1e-5)
    np.testing.assert_allclose(text.item.vectors[0], tiny_clip.text_by_hand("red lamp", held), atol=1e-5)
    assert not image.item.vectors[1].any()


def test_damaged_pictures_stop_the_step_or_are_counted(tmp_path):
    tiny_clip.write_clip(tmp_path / "clip")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    write_picture(pictures / "a.png")
    whole = write_picture(pictures / "b.png", (200, 200)).read_bytes()
    (pictures / "b.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "c.jpg").write_bytes(b"<html>not here</html>")
    (pictures / "d.gif").write_bytes(b"")
    given = {"clip": str(tmp_path / "clip"), "images": str(pictures)}
    with pytest.raises(UserError, match=r"b\.png: no whole picture"):
        run(tmp_path, world(), **given)
    (tmp_path / "out").rmdir()
    made, folder, job = run(tmp_path, world(), on_bad_image="skip", **given)
    assert made.rows["image"] == {"rows": 4, "present": 1, "bad": 3}
    assert read_text_files(folder / "image").item.mask.tolist() == [True, False, False, False]
    assert any("3 of 4 pictures are damaged" in line for line in job.lines)


def test_pictures_that_are_too_large_are_not_unpacked(tmp_path):
    preparation = read_preparation(tiny_clip.write_clip(tmp_path / "clip") / "preprocessor_config.json", 8)
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    with pytest.raises(BadPicture, match="at most"):
        read_picture(tmp_path / "bomb.png", preparation)


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    preparation = read_preparation(tiny_clip.write_clip(tmp_path / "clip") / "preprocessor_config.json", 8)
    path = write_picture(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UserError, match=r"a\.png: reading pictures needs `pip install 'jaxrec\[llm\]'`"):
        read_picture(path, preparation)


def test_a_folder_of_pictures_that_does_not_fit_is_named(tmp_path):
    items = world().items
    with pytest.raises(UserError, match="no folder"):
        find_pictures(tmp_path / "nowhere", items)
    with pytest.raises(UserError, match="none of its 0 pictures"):
        find_pictures(tmp_path, items)
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "a.bmp")
    with pytest.raises(UserError, match="same item"):
        find_pictures(tmp_path, items)


def _text(**changed):
    return tiny_clip.CONFIG | {"text_config": tiny_clip.TEXT | changed}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (tiny_clip.CONFIG | {"model_type": "bert"}, "model_type clip"),
        (_text(hidden_size=7), "multiple of num_attention_heads"),
        (_text(vocab_size=0), "vocab_size 0"),
        (_text(hidden_act="relu"), "hidden_act 'relu'"),
        (tiny_clip.CONFIG | {"vision_config": 3}, "vision_config: an object"),
        (tiny_clip.CONFIG | {"vision_config": tiny_clip.VISION | {"patch_size": 9}}, "patch_size"),
        (tiny_clip.CONFIG | {"projection_dim": "6"}, "projection_dim '6'"),
        ([], "model_type clip"),
    ],
)
def test_a_clip_that_does_not_fit_is_named(tmp_path, config, said):
    with pytest.raises(UserError, match=said):
        read_clip(tiny_clip.write_clip(tmp_path / "clip", config=config))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"crop_size": 9}, "crop of 8"),
        ({"size": {"shortest_edge": 4}}, "crop of 8"),
        ({"resample": 2}, "resample 2"),
        ({"do_normalize": False}, "do_normalize False"),
        ({"image_mean": [0.5]}, "image_mean"),
        ({"image_std": [0.5, 0, 1]}, "image_std"),
    ],
)
def test_a_preparation_that_does_not_fit_is_named(tmp_path, changed, said):
    folder = tiny_clip.write_clip(tmp_path / "clip", preparation=tiny_clip.PREPARATION | changed)
    with pytest.raises(UserError, match=said):
        read_preparation(folder / "preprocessor_config.json", 8)


def test_damaged_weights_are_named(tmp_path):
    held = tiny_clip.tensors()
    held["vision_model.embeddings.patch_embedding.weight"] = np.zeros((12, 3, 4, 5), np.float32)
    with pytest.raises(UserError, match=r"shape \[12, 3, 4, 5\]; \[12, 3, 4, 4\]"):
        Clip(read_clip(tiny_clip.write_clip(tmp_path / "clip", held=held)))
    held = tiny_clip.tensors()
    del held["visual_projection.weight"]
    with pytest.raises(UserError, match=r"no tensor visual_projection\.weight"):
        Clip(read_clip(tiny_clip.write_clip(tmp_path / "clip", held=held)))
    held = tiny_clip.tensors()
    held["text_projection.weight"][0, 0] = np.nan
    with pytest.raises(UserError, match="not finite"):
        Clip(read_clip(tiny_clip.write_clip(tmp_path / "clip", held=held)))
    (tmp_path / "clip" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.json not found"):
        read_clip(tmp_path / "clip")


def test_given_vectors_are_aligned_to_the_items(tmp_path):
    vectors = np.arange(1, 9, dtype=np.float32).reshape(4, 2)
    vectors[2] = 0
    np.save(tmp_path / "given.npy", vectors)
    made, folder, _ = run(tmp_path, world(None), image_vectors=str(tmp_path / "given.npy"))
    assert made.rows == {"image": {"rows": 4, "present": 3, "bad": 0}}
    found = read_text_files(folder / "image").item.align(world().items, "items")
    np.testing.assert_array_equal(found[0], vectors)
    assert found[1].tolist() == [True, True, False, True]
    np.save(tmp_path / "short.npy", vectors[:3])
    (tmp_path / "second").mkdir()
    with pytest.raises(UserError, match="3 rows of text features for 4 items"):
        run(tmp_path / "second", world(None), image_vectors=str(tmp_path / "short.npy"))


def test_without_a_model_the_sample_gives_its_own_and_other_data_words(tmp_path):
    dataset = load_dataset(DataConfig())
    made, folder, _ = run(tmp_path, dataset)
    assert made.extra["sources"] == {"image": "sample", "text": "sample"}
    sample = make_sample()
    place = sample.interactions.items.encode([dataset.items.raw[5]])[0]
    found = read_text_files(folder / "image").item.vectors[5]
    np.testing.assert_array_equal(found, sample.image_vectors[place])
    words = tuple(f"{a} {b}" for a, b in [("red", "lamp"), ("red", "seat"), ("blue", "lamp"), ("blue", "seat")])
    (tmp_path / "second").mkdir()
    made, _, job = run(tmp_path / "second", world(words))
    assert made.extra["sources"] == {"image": None, "text": "tfidf"}
    assert any("no image vectors" in line for line in job.lines)
    (tmp_path / "third").mkdir()
    with pytest.raises(UserError, match="neither texts nor given"):
        run(tmp_path / "third", world(None))


def test_settings_that_exclude_each_other_are_named():
    with pytest.raises(UserError, match=r"allowed with --features\.clip"):
        FeaturesConfig(images="x").validate()
    with pytest.raises(UserError, match="one of the two"):
        dataclasses.replace(FeaturesConfig(images="x", clip="y"), image_vectors="z").validate()

"""The sentiment step: each interaction has the label of its own text, whatever the others say."""

import dataclasses

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.packed_text import PackedText
from jaxrec.data.prepared import load_dataset
from jaxrec.data.sample import make_sample
from jaxrec.data.sample.vocabulary import EMOTIONS, SENTIMENTS
from jaxrec.errors import UserError
from jaxrec.precompute.sentiment.config import SentimentConfig
from jaxrec.precompute.sentiment.files import read_labels
from jaxrec.precompute.sentiment.mapping import read_mapping
from jaxrec.precompute.sentiment.step import STEP
from tests.data.making import interactions
from tests.precompute.fake_job import FakeJob
from tests.precompute.hostile_texts import HOSTILE_TEXTS
from tests.precompute.sentiment import tiny_roberta

TEXTS = ["love warm love", "awful rude", " \n", "I saw it.", "soft lamp"]
LEXICON = "love\t3.2\nawful\t-2.0\nrude\t-2.0\nsoft\t0.5\n"


def world(texts=TEXTS):
    """Rows of the training part with the texts 1, none, 0 and 2; of validation 3, of test 4."""
    raw = (["u"], ["a", "b", "c", "d"])
    train = interactions([(0, 0), (0, 1), (0, 2), (0, 3)], ratings=[1, 5, 4, np.nan], raw=raw)
    train = dataclasses.replace(train, reviews=np.array([1, -1, 0, 2], np.int32))
    valid, test = (
        dataclasses.replace(interactions([(0, item)], ratings=[3], raw=raw), reviews=np.array([row], np.int32))
        for item, row in ((1, 3), (2, 4))
    )
    return Dataset("tiny", "path", train, valid, test, "0" * 64, {}, reviews=PackedText.pack(texts))


def run(folder, dataset, **changes):
    folder.mkdir()
    config = SentimentConfig(**changes)
    config.validate()
    job = FakeJob(dataset, sentiment=config)
    made = STEP.run(job, folder)
    (folder / "manifest.json").write_text(f'{{"dataset_sha256": "{dataset.sha256}"}}')
    return made, read_labels(folder, dataset), STEP.identity(job), job


def test_the_lexicon_labels_each_row_by_its_own_text(tmp_path):
    (tmp_path / "vader_lexicon.txt").write_text(LEXICON)
    made, labels, _, job = run(tmp_path / "out", world(), lexicon=str(tmp_path))
    assert labels["train"].sentiment.tolist() == [0, 2, 4, 2]
    # A row without a review and one whose review is blank are neutral, and counted.
    assert labels["train"].known.tolist() == [True, False, True, False]
    assert (labels["valid"].sentiment.tolist(), labels["test"].sentiment.tolist()) == ([2], [3])
    assert made.rows == {"interaction": {"rows": 6, "present": 4}}
    assert made.extra["histograms"]["train"] == {
        "sentiments": dict(zip(SENTIMENTS, [1, 0, 0, 0, 1], strict=True)),
        "unknown": 2,
    }
    assert made.extra["source"] == "lexicon"
    assert "2 without a sign of it" in job.lines[0]


def test_the_model_labels_each_row_by_its_most_probable_emotion(tmp_path):
    held = tiny_roberta.tensors(2)
    tiny_roberta.write_model(tmp_path / "model", held=held)
    for mapping in ("official", "paper"):
        made, labels, identity, job = run(tmp_path / mapping, world(), model=str(tmp_path / "model"), mapping=mapping)
        found = [tiny_roberta.LABELS[np.argmax(tiny_roberta.by_hand(text, held))] for text in TEXTS]
        sentiment_of = read_mapping(mapping).sentiment_of
        wanted = [sentiment_of[found[1]], 2, sentiment_of[found[0]], 2]
        assert labels["train"].sentiment.tolist() == wanted
        emotions = made.extra["emotions"]
        assert [emotions[place] for place in labels["train"].emotion.tolist() if place >= 0] == [found[1], found[0]]
        assert labels["train"].emotion.tolist()[1] == labels["train"].emotion.tolist()[3] == -1
        assert made.extra["histograms"]["test"]["emotions"][found[4]] == 1
        assert len(made.extra["histograms"]["test"]["emotions"]) == 28
        assert any("most frequent emotions" in line for line in job.lines)
        assert identity["mapping"] == read_mapping(mapping).sha256


def test_ratings_stand_in_where_there_is_no_model(tmp_path):
    made, labels, _, _ = run(tmp_path / "out", world())
    assert labels["train"].sentiment.tolist() == [0, 4, 3, 2]
    assert labels["train"].known.tolist() == [True, True, True, False]
    assert made.model == "rating (no text was read)"
    assert labels["train"].emotion is None


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_a_hostile_text_changes_its_own_label_alone(tmp_path, text):
    (tmp_path / "vader_lexicon.txt").write_text(LEXICON)
    _, labels, _, _ = run(tmp_path / "out", world([*TEXTS[:1], text, *TEXTS[2:]]), lexicon=str(tmp_path))
    assert labels["train"].sentiment.tolist()[1:] == [2, 4, 2]
    assert (labels["valid"].sentiment.tolist(), labels["test"].sentiment.tolist()) == ([2], [3])
    assert labels["train"].known[0] == bool(text.strip())


def test_hostile_texts_change_no_other_label_of_the_model(tmp_path):
    tiny_roberta.write_model(tmp_path / "model")
    texts = [*HOSTILE_TEXTS.values(), *TEXTS]
    dataset = world()
    rows = np.arange(len(texts), dtype=np.int32)
    train = interactions([(0, 0)] * len(texts), raw=(["u"], ["a", "b", "c", "d"]))
    many = dataclasses.replace(dataset, train=dataclasses.replace(train, reviews=rows), reviews=PackedText.pack(texts))
    _, found, _, _ = run(tmp_path / "many", many, model=str(tmp_path / "model"))
    _, alone, _, _ = run(tmp_path / "alone", dataset, model=str(tmp_path / "model"))
    assert found["train"].emotion[-5:].tolist() == [alone["train"].emotion[2], alone["train"].emotion[0], -1] + [
        alone[part].emotion[0] for part in ("valid", "test")
    ]
    assert found["train"].known[:-5].tolist() == [bool(text.strip()) for text in HOSTILE_TEXTS.values()]


def test_what_a_source_needs_is_said(tmp_path):
    plain = dataclasses.replace(world(), reviews=None)
    (tmp_path / "vader_lexicon.txt").write_text(LEXICON)
    with pytest.raises(UserError, match=r"--data\.reviews"):
        run(tmp_path / "a", plain, lexicon=str(tmp_path))
    part = interactions([(0, 0)], raw=(["u"], ["a"]))
    with pytest.raises(UserError, match="has no ratings"):
        run(tmp_path / "b", Dataset("tiny", "path", part, part, part, "0" * 64, {}))
    with pytest.raises(UserError, match=r"--sentiment\.model"):
        SentimentConfig(source="goemotions").validate()
    with pytest.raises(UserError, match=r"--sentiment\.lexicon"):
        SentimentConfig(source="lexicon", model="x").validate()
    with pytest.raises(UserError, match="rating_scale"):
        SentimentConfig(rating_scale=(5.0, 1.0)).validate()
    assert SentimentConfig(model="x", lexicon="y").chosen() == "goemotions"


def test_labels_of_another_data_set_are_refused(tmp_path):
    run(tmp_path / "out", world())
    with pytest.raises(UserError, match="dataset_sha256"):
        read_labels(tmp_path / "out", dataclasses.replace(world(), sha256="1" * 64))
    (tmp_path / "out" / "sentiment.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="whole"):
        read_labels(tmp_path / "out", world())
    (tmp_path / "out" / "manifest.json").write_text("[]")
    with pytest.raises(UserError, match="JSON object"):
        read_labels(tmp_path / "out", world())


def test_on_the_sample_ratings_agree_with_the_planted_emotions(tmp_path):
    dataset = load_dataset(DataConfig(reviews=True))
    _, labels, _, _ = run(tmp_path / "out", dataset)
    sample = make_sample()
    planted = np.array([SENTIMENTS.index(EMOTIONS[emotion].sentiment) for emotion in sample.reviews.emotion])
    texts = {}
    for text, sentiment in zip(sample.reviews.text, planted.tolist(), strict=True):
        texts.setdefault(text, sentiment)
    pairs = [
        (texts[dataset.reviews[row]], label)
        for row, label in zip(dataset.train.reviews.tolist(), labels["train"].sentiment.tolist(), strict=True)
        if row >= 0
    ]
    found = np.corrcoef(np.array(pairs).T)[0, 1]
    assert found > 0.5

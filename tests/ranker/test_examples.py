"""What prompts tell of users: the training part alone, in order, with each event's own sentiment."""

import dataclasses

import numpy as np
import pytest

from jaxrec.data.dataset import Dataset
from jaxrec.data.item_words import ItemWords
from jaxrec.models.sealr_config import PromptConfig
from jaxrec.precompute.requests import Answer, Failure
from jaxrec.precompute.schema import check_schema
from jaxrec.precompute.sentiment.labels import PartLabels
from jaxrec.ranker.examples import make_examples, prompt_of, sentiment_text
from jaxrec.ranker.names import item_texts
from jaxrec.ranker.preferences import preferences, summary_requests, summary_rule, written_preferences
from tests.data.making import interactions
from tests.precompute.hostile_texts import HOSTILE_TEXTS

RAW = [f"user {user}" for user in range(3)], [f"thing {item}" for item in range(8)]
PAIRS = [(0, 4), (1, 6), (0, 2), (0, 5), (1, 7), (2, 1)]
TIMES = [30, 5, 10, 20, 6, 1]
POOLS = np.array([[1, 0, 3, 6, 7, -1], [0, 1, 2, 3, 4, 5], [7, 6, 5, -1, -1, -1]], np.int32)


def data():
    train = interactions(PAIRS, times=TIMES, raw=RAW)
    valid = interactions([(0, 6), (1, 1), (2, 6)], times=[40, 7, 2], raw=RAW)
    test = interactions([(0, 3), (1, 0), (2, 5)], times=[50, 8, 3], raw=RAW)
    return Dataset("shop", "path", train, valid, test, "5" * 64, {})


def labels():
    """The label of a training row is its place; those of the other parts must not be read."""
    told = {"train": np.array([0, 1, 2, 3, 4, 0], np.int8), "valid": np.full(3, 99, np.int8)}
    return {name: PartLabels(values, np.ones(len(values), bool)) for name, values in told.items()}


def made(users=(0, 1, 2), prompt=PromptConfig(), dataset=None, seed=0, **settings):
    users = np.array(users, np.int32)
    return make_examples(dataset or data(), users, POOLS[users], prompt, seed, labels(), **settings)


def test_histories_are_the_training_part_in_order_with_their_own_sentiments():
    first, second, third = made()
    assert first.history == (2, 5, 4)
    assert first.sentiments == (2, 3, 0)
    assert (second.history, second.sentiments) == ((6, 7), (1, 4))
    assert (third.history, third.answer) == ((1,), ())
    short = made(prompt=PromptConfig(history=2))[0]
    assert (short.history, short.sentiments) == ((5, 4), (3, 0))
    assert made(prompt=PromptConfig(sentiment=False))[0].sentiments == ()
    assert sentiment_text(4) == "Strong Positive"


def test_the_answer_is_the_last_item_and_then_the_one_before_it():
    assert made(supervision="last_two")[0].answer == (3, 6)
    assert made(supervision="last_one")[0].answer == (3,)
    # Then the retriever's best, in its order.
    assert made(supervision="pad_retriever")[0].answer == (3, 6, 1, 0, 7)
    with pytest.raises(ValueError, match="not all in the pool"):
        make_examples(data(), np.array([0]), POOLS[2:], PromptConfig(), 0, labels(), supervision="last_two")
    with pytest.raises(ValueError, match="needs labels"):
        make_examples(data(), np.array([0]), POOLS[:1], PromptConfig(), 0)


def test_pools_are_shown_in_an_order_of_the_raw_user_and_the_seed():
    shown = made()
    assert [sorted(example.candidates) for example in shown] == [[0, 1, 3, 6, 7], [0, 1, 2, 3, 4, 5], [5, 6, 7]]
    assert made(users=(1,))[0] == shown[1]
    assert made() == shown
    orders = {made(users=(1,), seed=seed)[0].candidates for seed in range(40)}
    assert len(orders) > 30
    # The place of the retriever's best tells nothing: over seeds it is everywhere equally often.
    places = [made(users=(1,), seed=seed)[0].candidates.index(0) for seed in range(600)]
    counts = np.bincount(places, minlength=6)
    assert abs(counts - 100).max() < 4 * np.sqrt(600 / 6 * 5 / 6)


def test_a_prompt_says_the_same_items_in_every_way():
    example = made(users=(0,))[0]
    dataset = data()
    words = ItemWords(tuple(f"Thing, number {item}" for item in range(8)), ((),) * 8)
    digits = prompt_of(example, item_texts(PromptConfig(), dataset), PromptConfig())
    assert digits.history == ("3", "6", "5")
    assert digits.sentiments == ("Neutral", "Positive", "Strong Negative")
    config = PromptConfig(items="new_tokens")
    assert prompt_of(example, item_texts(config, dataset), config).history == ("<item_3>", "<item_6>", "<item_5>")
    config = PromptConfig(items="names")
    assert prompt_of(example, item_texts(config, dataset, words), config).history[0] == "Thing number 2"
    with pytest.raises(ValueError, match="words of items"):
        item_texts(config, dataset)


TITLES = ("red lamp", "the red chair", "lamp of glass", "blue chair", "green lamp", "old lamp", "desk", "")


def test_preferences_are_what_most_of_the_history_has():
    kinds = (("light",), ("seat",), ("light", "glass"), ("seat",), ("light",), ("light",), ("table",), ())
    found = preferences(data(), ItemWords(TITLES, kinds), np.array([0, 1, 2]), 20)
    assert found == {0: ("light", "glass"), 1: ("table",), 2: ("seat",)}
    # Without categories the words of titles, but for those that half of the catalogue has.
    found = preferences(data(), ItemWords(TITLES, ((),) * 8), np.array([0]), 20)
    assert found == {0: ("glass", "green", "old")}
    assert preferences(data(), ItemWords(TITLES, ((),) * 8), np.array([0]), 1) == {0: ("green",)}


def test_preferences_that_a_model_writes_are_cleaned_as_names_are():
    config = PromptConfig(template="palr", items="names", sentiment=False)
    titles = (TITLES[0], TITLES[1], HOSTILE_TEXTS["closing_mark"], *TITLES[3:])
    requests = summary_requests(data(), ItemWords(titles, ((),) * 8), np.array([0, 1]), config)
    assert [request.key for request in requests] == ["0", "1"]
    check_schema(requests[0].schema)
    assert requests[0].messages[1].content.count("</data>") == 1
    assert "green lamp" in requests[0].messages[1].content
    assert "{" not in requests[0].messages[0].content
    assert summary_rule(requests[0])["keywords"] == list(requests[0].facts["keywords"])
    said = {"keywords": ["warm light, always", "<|im_end|>", "***", "warm light always", *"abcdefghij"]}
    answers = {"0": Answer("0", "", said, 1, 1, 0.0, False), "1": Failure("1", "no answer")}
    found = written_preferences(requests, answers)
    assert found[0] == ("warm light always", "im end", *"abcdef")
    assert found[1] == tuple(requests[1].facts["keywords"])
    example = made(users=(0,), prompt=config, preferences=found)[0]
    assert example.preference == found[0]
    assert dataclasses.replace(example, preference=()).history == (2, 5, 4)

"""Rules between fields, with and without the data, each refusal naming its fields."""

import dataclasses

import numpy as np
import pytest

from jaxrec.config import (
    Experiment,
    override,
    resolve,
    validate,
    validate_against,
)
from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.data.text_config import TextConfig
from jaxrec.errors import UserError
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.models.lmmrec import LMMRecConfig
from jaxrec.models.popularity import PopularityConfig

LIGHTGCN = Experiment(LightGCNConfig(), name="some")
LMMREC = Experiment(LMMRecConfig(), name="some")


def flagged(*argv, experiment=LIGHTGCN):
    return override(experiment, list(argv))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--train.monitor", "ndcg@7"], ["train.monitor", "'ndcg@7'", "5, 10, 20"]),
        (["--train.monitor", "ndgc@10"], ["train.monitor", "recall, hit, ndcg"]),
        (["--train.monitor", "ndcg"], ["train.monitor"]),
        (["--eval.k", "10", "5"], ["eval.k", "ascending"]),
        (["--eval.k", "0", "10"], ["eval.k", "from 1"]),
        (["--eval.k", "10", "10"], ["eval.k"]),
        (["--eval.k"], ["eval.k"]),
        (["--eval.protocols", "retrieved"], ["eval.pools", "found none", "candidates or ranking"]),
        (["--eval.pools", "x"], ["eval.pools", "found x", "without eval.protocols retrieved"]),
        (["--train.batch-size", "0"], ["train.batch_size", "found 0", "1 or more"]),
        (["--train.epochs", "-1"], ["train.epochs", "found -1"]),
        (["--train.eval-every", "0"], ["train.eval_every"]),
        (["--train.patience", "-1"], ["train.patience", "0"]),
        (["--train.optimizer.learning-rate", "0"], ["train.optimizer.learning_rate", "above 0"]),
        (["--train.optimizer.learning-rate", "nan"], ["train.optimizer.learning_rate", "nan", "finite"]),
        (["--train.optimizer.clip-norm", "inf"], ["train.optimizer.clip_norm", "finite"]),
        (["--train.optimizer.weight-decay", "0.1"], ["train.optimizer.weight_decay", "adamw"]),
        (["--data.ratio", "8", "0", "2"], ["data.ratio"]),
        (["--data.ratio", "8", "-1", "2"], ["data.ratio"]),
        (["--data.pool", "--data.split", "given"], ["data.pool", "given"]),
        (["--data.filter.start-time", "5", "--data.filter.end-time", "5"], ["data.filter", "5"]),
        (["--data.filter.user-core", "-2"], ["data.filter.user_core", "-2"]),
        (["--seed", "-1"], ["seed", "-1"]),
        (["--seed", "4294967296"], ["seed", "4294967295"]),
        (["--devices.count", "0"], ["devices.count", "1 or more"]),
        (["--model.dim", "30", "--devices.count", "4"], ["model.dim", "30", "multiples of 4"]),
        (["--devices.count", "8", "--devices.model", "3"], ["devices.model", "3", "divisor of the 8"]),
        (["--text.source", "given"], ["text.source", "--text.path"]),
        (["--text.source", "tfidf", "--text.path", "x"], ["text.source", "tfidf"]),
        (["--text.dim", "0"], ["text.dim"]),
        (["--model.dim", "0"], ["model.dim"]),
        (["--data.path", ""], ["data.path"]),
    ],
)
def test_an_impossible_combination_names_its_fields(argv, words):
    experiment = flagged(*argv)
    with pytest.raises(UserError) as error:
        validate(experiment)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_a_model_that_needs_text_is_refused_without():
    with_text = dataclasses.replace(LMMREC, model=dataclasses.replace(LMMREC.model, text_source="text"))
    validate(with_text)
    with pytest.raises(UserError, match=r"text\.source.*lmmrec.*--text\.path.*--model\.text-source learned"):
        validate(dataclasses.replace(with_text, text=TextConfig(source="none")))
    learned = dataclasses.replace(LMMREC.model, text_source="learned")
    validate(dataclasses.replace(LMMREC, model=learned, text=TextConfig(source="none")))


def dataset(num_items=30, valid=3):
    users, items = (
        IdMap(np.array([f"{kind}{n}" for n in range(count)])) for kind, count in (("u", 9), ("i", num_items))
    )

    def part(rows):
        ids = np.arange(rows, dtype=np.int32)
        return Interactions(ids, ids, users, items)

    return Dataset("tiny", "path", part(9), part(valid), part(2), "f" * 64, {})


def test_the_data_and_the_devices_are_checked_too():
    small = override(LIGHTGCN, ["--model.dim", "32"])
    validate_against(small, dataset(), None, 8)
    with pytest.raises(UserError, match=r"eval\.k: found 20, allowed: at most 12, the items of tiny"):
        validate_against(small, dataset(num_items=12), None, 1)
    with pytest.raises(UserError, match=r"valid part of tiny"):
        validate_against(small, dataset(valid=0), None, 1)
    with pytest.raises(UserError, match=r"model\.dim: found 32, allowed: multiples of 3"):
        validate_against(small, dataset(), None, 3)
    validate_against(override(small, ["--devices.model", "1"]), dataset(), None, 3)
    validate_against(Experiment(PopularityConfig()), dataset(), None, 7)
    with_text = dataclasses.replace(LMMREC, model=dataclasses.replace(LMMREC.model, text_source="text"))
    with pytest.raises(UserError, match=r"tiny has no item text.*lmmrec needs text"):
        validate_against(with_text, dataset(), None, 1)


def test_auto_takes_text_where_there_is_some():
    auto = dataclasses.replace(LMMREC, model=dataclasses.replace(LMMREC.model, text_source="auto"))
    assert resolve(auto, dataset(), None).model.text_source == "learned"
    assert resolve(auto, dataset(), object()).model.text_source == "text"
    fixed = dataclasses.replace(LMMREC, model=dataclasses.replace(LMMREC.model, text_source="text"))
    assert resolve(fixed, dataset(), None) == fixed
    assert resolve(LIGHTGCN, dataset(), object()) is LIGHTGCN

"""Experiments as JSON and back, their hashes, first differences and text form."""

import dataclasses
import json
import re

import pytest

from jaxrec.config import (
    Experiment,
    as_text,
    config_hash,
    first_difference,
    from_json,
    override,
    to_json,
)
from jaxrec.config.fields import leaves
from jaxrec.data.config import DataConfig
from jaxrec.errors import UserError
from jaxrec.eval.config import EvalConfig
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.models.lmmrec import LMMRecConfig
from jaxrec.models.registry import CONFIGS
from jaxrec.train.config import DevicesConfig, OptimizerConfig, TrainConfig

LIGHTGCN = Experiment(LightGCNConfig(), name="some")
LMMREC = Experiment(LMMRecConfig(), name="some")


def flagged(*argv, experiment=LIGHTGCN):
    return override(experiment, list(argv))


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_json_brings_back_the_same_experiment(name):
    experiment = Experiment(
        CONFIGS[name](),
        data=DataConfig(path="x", ratio=(8.0, 1.0, 1.0)),
        eval=EvalConfig(k=(1, 2)),
        train=TrainConfig(optimizer=OptimizerConfig(clip_norm=0.5)),
        devices=DevicesConfig(count=2),
        seed=3,
        name="mine",
    )
    record = json.loads(json.dumps(to_json(experiment)))
    assert from_json(record) == experiment
    assert record["model"]["name"] == name
    assert list(record) == [field.name for field in dataclasses.fields(Experiment)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["train"].update(batchsize=3), ["unknown field train.batchsize"]),
        (lambda r: r["train"].pop("batch_size"), ["train.batch_size is missing"]),
        (lambda r: r["train"]["optimizer"].pop("name"), ["train.optimizer.name is missing"]),
        (lambda r: r["model"].pop("dim"), ["model.dim is missing"]),
        (lambda r: r["model"].pop("name"), ["model.name is missing"]),
        (lambda r: r["model"].update(name="lightgnc"), ["lightgnc", "lightgcn"]),
        (lambda r: r["train"].update(epochs="many"), ['train.epochs is "many"', "a whole number"]),
        (lambda r: r["train"].update(epochs=True), ["train.epochs is true"]),
        (lambda r: r["data"].update(split="x"), ['data.split is "x"', "leave_one_out"]),
        (lambda r: r["data"].update(ratio=[1, 2]), ["data.ratio is [1, 2]", "3 numbers"]),
        (lambda r: r.update(data=7), ["data is 7"]),
        (lambda r: r.pop("model"), ["model"]),
    ],
)
def test_a_record_that_does_not_fit_names_the_field(change, words):
    record = json.loads(json.dumps(to_json(LIGHTGCN)))
    change(record)
    with pytest.raises(UserError) as error:
        from_json(record)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_the_hash_covers_what_changes_the_result_and_nothing_else():
    first = config_hash(LIGHTGCN, "data")
    assert re.fullmatch(r"[0-9a-f]{12}", first)
    same = flagged(
        "--data.path", "elsewhere", "--data.require-real", "--data.cache", "c", "--devices.count", "1",
        "--train.log-every", "7", "--train.checkpoint-every-seconds", "5", "--eval.memory-budget-mb", "64",
    )  # fmt: skip
    assert config_hash(dataclasses.replace(same, name="another"), "data") == first
    others = [
        config_hash(flagged(*argv), "data")
        for argv in (["--model.dim", "48"], ["--seed", "1"], ["--train.batch-size", "9"], ["--data.pool"],
                     ["--train.optimizer.name", "sgd"], ["--eval.k", "5"], ["--data.filter.user-core", "5"])
    ]  # fmt: skip
    others += [config_hash(LIGHTGCN, "other data"), config_hash(LIGHTGCN, "data", "text"), config_hash(LMMREC, "data")]
    assert len({first, *others}) == len(others) + 1


def test_every_leaf_is_either_hashed_and_compared_or_neither():
    def another(leaf):
        if isinstance(leaf.value, bool):
            return not leaf.value
        if isinstance(leaf.value, (int, float)):
            return leaf.value + 1
        return ("x",) if isinstance(leaf.value, tuple) else "x"

    record = to_json(LIGHTGCN)
    for leaf in leaves(LIGHTGCN):
        changed = json.loads(json.dumps(record))
        *parents, last = leaf.name.split(".")
        table = changed
        for parent in parents:
            table = table[parent]
        table[last] = another(leaf)
        difference = first_difference(json.loads(json.dumps(record)), changed)
        assert (difference is not None) == (leaf.hashed or leaf.later), leaf.name
        if difference is not None:
            assert difference.startswith(leaf.name + ": ")


def test_the_first_difference_is_said_with_both_values():
    here, there = to_json(flagged("--train.batch-size", "2048")), to_json(flagged("--train.batch-size", "512"))
    assert first_difference(here, here) is None
    assert first_difference(here, there) == "train.batch_size: 2048 here, 512 there"
    assert first_difference(to_json(LIGHTGCN), to_json(LMMREC)) == 'model.name: "lightgcn" here, "lmmrec" there'
    older = to_json(LIGHTGCN)
    del older["train"]["patience"]
    assert first_difference(to_json(LIGHTGCN), older) == "train.patience: 10 here, absent there"


def test_text_form_has_a_line_for_every_field_but_later_ones_at_rest():
    lines = as_text(LIGHTGCN).splitlines()
    assert lines[0] == 'model.name = "lightgcn"'
    assert "data.ratio = [3.0, 1.0, 1.0]" in lines
    assert len(lines) == sum(not leaf.later for leaf in leaves(LIGHTGCN)) + 1


@dataclasses.dataclass(frozen=True)
class Added:
    """As a later version of EvalConfig might look."""

    k: tuple[int, ...] = (5, 10, 20)
    fresh: int = dataclasses.field(default=7, metadata={"added": "0.3"})


def test_a_field_at_the_default_it_was_added_with_is_as_if_it_were_not_there():
    resting, moved = ({leaf.name: leaf for leaf in leaves(config)} for config in (Added(), Added(fresh=8)))
    assert (resting["fresh"].hashed, resting["fresh"].later) == (False, True)
    assert (moved["fresh"].hashed, moved["fresh"].later) == (True, False)
    assert resting["k"].hashed


def test_a_record_from_before_a_field_is_read_and_told_from_one_that_uses_it():
    plain = flagged("--eval.protocols", "full")
    record = to_json(plain)
    del record["eval"]["protocols"]
    assert from_json(record) == plain
    assert first_difference(to_json(plain), record) is None
    both = flagged("--eval.protocols", "full", "sampled99")
    assert first_difference(to_json(both), record) == 'eval.protocols: ["full", "sampled99"] here, ["full"] there'
    assert first_difference(record, to_json(both)) == 'eval.protocols: ["full"] here, ["full", "sampled99"] there'
    assert config_hash(both, "x") != config_hash(plain, "x")
    assert "eval.protocols" not in as_text(plain)
    assert "eval.protocols" in as_text(both)

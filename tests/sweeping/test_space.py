"""Search spaces: where they come from, and what is refused."""

import math

import pytest

from jaxrec.config import Experiment
from jaxrec.errors import UserError
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.models.registry import CONFIGS
from jaxrec.sweeping.search import short_names
from jaxrec.sweeping.space import Choice, Integers, LogUniform, Uniform, check_space, near_an_end
from jaxrec.sweeping.space_sources import default_space, space_from_file, space_from_flags

BASE = Experiment(LightGCNConfig(dim=8, num_layers=2), name="tiny")
RATE, LAYERS = "train.optimizer.learning_rate", "model.num_layers"


@pytest.mark.parametrize("name", [name for name, config in CONFIGS.items() if config.trains])
def test_every_model_that_trains_has_a_default_space(name):
    experiment = Experiment(CONFIGS[name]())
    space = check_space(default_space(experiment), experiment)
    assert RATE in space


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({}, "no field"),
        ({"model.num_layer": Choice(1, 2)}, "model.num_layers"),
        ({"learning_rate": LogUniform(1e-4, 1e-2)}, RATE),
        ({RATE: LogUniform(0.0, 1.0)}, "above 0"),
        ({RATE: LogUniform(1e-2, 1e-4)}, "a low below the high"),
        ({RATE: LogUniform(1e-4, math.inf)}, "numbers"),
        ({RATE: Integers(1, 2)}, "a number"),
        ({LAYERS: Uniform(1, 2)}, "a whole number"),
        ({LAYERS: Integers(0, 2)}, "model.num_layers: found 0"),
        ({LAYERS: Integers(1, 2.5)}, "2.5"),
        ({LAYERS: Choice(1, "two")}, "a whole number"),
        ({LAYERS: Choice(1)}, "two or more"),
        ({LAYERS: Choice(1, 1)}, "all different"),
        ({LAYERS: (1, 2)}, "Choice"),
        ({"model.edge_dropout": Uniform(0, 1)}, "from 0 to below 1"),
        ({"model.combine": Choice("mean", "sum", "min")}, "one of"),
        ({"data.split_seed": Integers(0, 9)}, "data.split_seed"),
        ({"eval.save_topk": Integers(5, 9)}, "eval.save_topk"),
        ({"seed": Integers(0, 9)}, "luck"),
        ({"train.epochs": Integers(1, 9)}, "budget"),
        ({"train.log_every": Integers(1, 9)}, "does not depend"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(space, expected):
    with pytest.raises(UserError) as refusal:
        check_space(space, BASE)
    assert expected in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_flags_are_read_as_the_fields_would_read_them():
    texts = [
        "train.optimizer.learning-rate=log:3e-4:3e-3", "model.num-layers=1,2,3", "model.edge-dropout=uniform:0:0.5",
        "model.dim=integers:8:64", "model.combine=mean,sum", "train.optimizer.clip-norm=None,1",
    ]  # fmt: skip
    space = check_space(space_from_flags(texts, BASE), BASE)
    assert space == {
        RATE: LogUniform(3e-4, 3e-3),
        LAYERS: Choice(1, 2, 3),
        "model.edge_dropout": Uniform(0.0, 0.5),
        "model.dim": Integers(8, 64),
        "model.combine": Choice("mean", "sum"),
        "train.optimizer.clip_norm": Choice(None, 1.0),
    }


@pytest.mark.parametrize(
    "text", ["model.dim", "model.dim=", "model.dim=log:1", "model.dim=log:a:b", "model.dim=lgo:1:2", "model.dim=8,wide"]
)
def test_a_flag_that_cannot_be_read_is_named(text):
    with pytest.raises(UserError, match=f"--search {text}"):
        space_from_flags([text], BASE)


def test_a_space_from_a_file(tmp_path):
    file = tmp_path / "space.py"
    file.write_text(
        "from jaxrec.sweeping.space import Choice\n\ndef get_space():\n    return {'model.num_layers': Choice(1, 2)}\n"
    )
    assert space_from_file(file) == {LAYERS: Choice(1, 2)}
    for source, expected in (("def get_space():\n    return 1 / 0\n", "space.py:2"), ("x = 1\n", "get_space")):
        file.write_text(source)
        with pytest.raises(UserError, match=expected):
            space_from_file(file)


def test_a_choice_at_the_end_of_its_range_is_pointed_out():
    assert near_an_end(LogUniform(1e-4, 1e-2), 9e-3) == "high"
    assert near_an_end(LogUniform(1e-4, 1e-2), 5e-4) is None
    assert near_an_end(Uniform(0.0, 1.0), 0.01) == "low"
    assert near_an_end(Integers(1, 4), 4) == "high"
    assert near_an_end(LogUniform(1e-4, 1e-2), 1.0) is None  # the config's own, outside the space
    assert near_an_end(Choice(1, 2), 2) is None


def test_short_names_tell_fields_apart():
    names = ["model.coordination.weight", "model.correspondence.weight", "model.dim"]
    assert list(short_names(names).values()) == ["coordination.weight", "correspondence.weight", "dim"]

"""Flags over an experiment: every type, help for every field, one line for a mistake."""

import ast
import dataclasses
import inspect

import pytest

from jaxrec.config import (
    Experiment,
    override,
)
from jaxrec.config.fields import leaves
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.errors import UserError
from jaxrec.eval.config import EvalConfig
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.train.config import DevicesConfig, OptimizerConfig, TrainConfig

LIGHTGCN = Experiment(LightGCNConfig(), name="some")


def flagged(*argv, experiment=LIGHTGCN):
    return override(experiment, list(argv))


def test_flags_reach_every_depth_and_type():
    found = flagged(
        "--model.dim", "48", "--eval.k", "1", "10", "--data.ratio", "8", "1", "1", "--data.require_real",
        "--train.optimizer.learning-rate=3e-3", "--train.optimizer.clip-norm", "1", "--devices.count", "None",
        "--data.path", "a b.csv", "--data.split", "leave_one_out", "--seed", "7",
    )  # fmt: skip
    assert found == dataclasses.replace(
        LIGHTGCN,
        model=LightGCNConfig(dim=48),
        eval=EvalConfig(k=(1, 10)),
        data=DataConfig(ratio=(8.0, 1.0, 1.0), require_real=True, path="a b.csv", split="leave_one_out"),
        train=TrainConfig(optimizer=OptimizerConfig(learning_rate=3e-3, clip_norm=1.0)),
        seed=7,
    )


@pytest.mark.parametrize("flag", ["--data.no-pool", "--no-data.pool", "--data.no_pool"])
def test_a_switch_can_be_turned_off(flag):
    pooled = dataclasses.replace(LIGHTGCN, data=DataConfig(pool=True))
    assert flagged(flag, experiment=pooled).data.pool is False
    assert flagged("--data.pool").data.pool is True


def test_no_flags_change_nothing():
    assert flagged() == LIGHTGCN


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--modle.dim", "64"], ["--modle.dim", "nearest: --model.dim"]),
        (["--model.dimm", "64"], ["--model.dimm", "nearest: --model.dim"]),
        (["--model.di", "64"], ["--model.di:", "nearest: --model.dim"]),
        (["--dim", "64"], ["--dim", "nearest: --model.dim"]),
        (["--train.optimiser.learning-rate", "1"], ["nearest: --train.optimizer.learning-rate"]),
        (["--name", "x"], ["--name", "no such flag"]),
        (["64"], ["64", "not a flag"]),
        (["--model.dim", "x"], ["--model.dim", "'x'", "a whole number"]),
        (["--model.dim"], ["--model.dim", "no value", "a whole number"]),
        (["--model.dim", "3", "4"], ["--model.dim", "'3 4'", "a whole number"]),
        (["--train.epochs", "2.5"], ["--train.epochs", "'2.5'", "a whole number"]),
        (["--data.split", "rato"], ["--data.split", "'rato'", "one of given, ratio, leave_one_out, global_temporal"]),
        (["--data.ratio", "8", "1"], ["--data.ratio", "'8 1'", "3 numbers"]),
        (["--data.filter.min-rating", "good"], ["--data.filter.min-rating", "'good'", "a number or None"]),
        (["--eval.protocols", "full,sampled99"], ["'full,sampled99'", "some of full, sampled99, retrieved, separated"]),
        (["--data.pool", "True"], ["--data.pool", "'True'", "takes no value", "--data.no-pool"]),
        (["--seed", "1", "--data.no-pool", "1"], ["--data.no-pool", "takes no value"]),
    ],
)
def test_a_flag_that_does_not_fit_is_told_in_one_line(argv, words, capsys):
    with pytest.raises(UserError) as error:
        flagged(*argv)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_field_with_its_help(flag, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
        flagged("--model.dim", "64", flag)
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for leaf in leaves(LIGHTGCN):
        if leaf.name != "name":
            assert "--" + leaf.name.replace("_", "-") in text
    assert "Which optimiser; lazy_adam leaves rows of tables" in text
    assert "Refuse to fall back to the built-in sample." in text


@pytest.mark.parametrize("config_class", [Experiment, DataConfig, TextConfig, TrainConfig, EvalConfig, DevicesConfig])
def test_every_field_is_documented_where_it_is_defined(config_class):
    module = ast.parse(inspect.getsource(inspect.getmodule(config_class)))
    body = next(node.body for node in module.body if getattr(node, "name", "") == config_class.__name__)
    for field, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            nested = isinstance(field.value, ast.Call) and ast.unparse(field.value.func).endswith("Config")
            assert nested or isinstance(after, ast.Expr), f"{config_class.__name__}.{field.target.id} has no help"

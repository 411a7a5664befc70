"""Experiments: loading, flags, checks, records, hashes, and the golden text of every shipped config."""

import ast
import dataclasses
import json
import pathlib
import re

import numpy as np
import pytest

from jaxrec.config import (
    Experiment,
    as_text,
    config_hash,
    first_difference,
    from_json,
    load_config,
    override,
    resolve,
    to_json,
    validate,
    validate_against,
)
from jaxrec.config.fields import leaves
from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.interactions import IdMap, Interactions
from jaxrec.data.text_config import TextConfig
from jaxrec.errors import UserError
from jaxrec.eval.config import EvalConfig
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.models.lmmrec import LMMRecConfig
from jaxrec.models.popularity import PopularityConfig
from jaxrec.models.registry import CONFIGS
from jaxrec.train.config import DevicesConfig, OptimizerConfig, TrainConfig

ROOT = pathlib.Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "configs"
SHIPPED = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
LIGHTGCN = Experiment(LightGCNConfig(), name="some")
LMMREC = Experiment(LMMRecConfig(), name="some")


def flagged(*argv, experiment=LIGHTGCN):
    return override(experiment, list(argv))


# Shipped configs


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_config_is_valid_and_equals_its_golden_text(name, request):
    experiment = load_config(ROOT / "configs" / f"{name}.py")
    assert experiment.name == name
    assert name.startswith(experiment.model.name + "_")
    validate(experiment)
    golden = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(as_text(experiment))
    assert golden.is_file(), "no golden text; pytest tests/test_config.py --update-golden writes it"
    assert as_text(experiment) == golden.read_text()


def test_no_golden_text_outlives_its_config():
    assert sorted(path.stem for path in GOLDEN.glob("*.txt")) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_docstring_is_a_lab_record(name):
    docstring = ast.get_docstring(ast.parse((ROOT / "configs" / f"{name}.py").read_text())) or ""
    for entry in ("Paper:", "Data:", "Command:", "Hardware:", "Wall time:", "Result:", "Deviations:"):
        assert entry in docstring, f"{name}: no line {entry}"
    assert f"--config configs/{name}.py" in docstring


def settings_rows():
    """Rows of the tables in docs/settings.md: (config, field, the paper's value or —, ours)."""
    rows = []
    for line in (ROOT / "docs" / "settings.md").read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == 5:
            rows.append(tuple(cells[:4]))
    return rows


def test_every_shipped_config_has_settings():
    assert {row[0] for row in settings_rows()} == set(SHIPPED)


@pytest.mark.parametrize(("name", "field", "paper", "ours"), settings_rows())
def test_settings_are_those_of_the_table(name, field, paper, ours):
    experiment = load_config(ROOT / "configs" / f"{name}.py")
    values = {leaf.name: leaf.value for leaf in leaves(experiment)}
    found = json.loads(json.dumps(values[field]))
    assert found == json.loads(ours)
    assert paper == "—" or paper == ours or field in deviations(name), f"{name}: {field} differs and no line says why"


def deviations(name):
    """Fields that the docstring of a config names after `Deviations:`."""
    docstring = ast.get_docstring(ast.parse((ROOT / "configs" / f"{name}.py").read_text())) or ""
    return set(re.findall(r"[a-z_]+(?:\.[a-z_]+)+", docstring.partition("Deviations:")[2]))


# Loading

GOOD = "from jaxrec.config import Experiment\nfrom jaxrec.models.lightgcn import LightGCNConfig\n"


def write(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text)
    return path


def refused(path):
    with pytest.raises(UserError) as error:
        load_config(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_loading_names_the_experiment_after_its_file(tmp_path):
    path = write(tmp_path, GOOD + "def get_config():\n    return Experiment(LightGCNConfig(dim=8))\n")
    assert load_config(path) == Experiment(LightGCNConfig(dim=8), name="mine")


def test_a_config_saved_again_within_the_same_second_is_read_again(tmp_path):
    text = GOOD + "def get_config():\n    return Experiment(LightGCNConfig(dim=%d))\n"
    for dim in (16, 32, 64):
        assert load_config(write(tmp_path, text % dim)).model.dim == dim


def test_a_missing_config_names_the_nearest(tmp_path):
    for name in ("lmmrec_steam.py", "lightgcn_gowalla.py"):
        write(tmp_path, "", name)
    message = refused(tmp_path / "lmmrec_steem.py")
    assert message.startswith(str(tmp_path / "lmmrec_steem.py"))
    assert f"nearest: {tmp_path / 'lmmrec_steam.py'}" in message
    assert "gowalla" not in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n", ["mine.py", "no function get_config"]),
        ("def get_config():\n    return 3\n", ["returned int", "Experiment"]),
        (GOOD + "def get_config():\n    return Experiment(5)\n", ["model is 5", "LightGCNConfig"]),
        (GOOD + "def get_config():\n    return Experiment(LightGCNConfig)\n", ["model is", "LightGCNConfig(dim=32)"]),
        (
            GOOD + "\ndef get_config():\n    return Experiment(\n        LightGCNConfig(dmi=3))\n",
            [":6: TypeError", "dmi"],
        ),
        ("import nothing_of_that_name\n", [":1: ModuleNotFoundError", "nothing_of_that_name"]),
        ("def get_config(:\n", [":1: SyntaxError"]),
        ("\n\nraise ValueError('two\\nlines')\n", [":3: ValueError: two lines"]),
    ],
)
def test_a_config_that_fails_is_told_with_file_line_and_reason(tmp_path, text, words):
    message = refused(write(tmp_path, text))
    assert all(word in message for word in words), message


def test_a_folder_or_a_file_that_is_not_text_is_no_config(tmp_path):
    assert "folder" in refused(tmp_path)
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refused(tmp_path / "binary.py")


# Flags


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
    assert "Adam" in text or "optax optimiser" in text
    assert "Refuse to fall back to the built-in sample." in text


@pytest.mark.parametrize("config_class", [Experiment, DataConfig, TextConfig, TrainConfig, EvalConfig, DevicesConfig])
def test_every_field_is_documented_where_it_is_defined(config_class):
    import inspect

    module = ast.parse(inspect.getsource(inspect.getmodule(config_class)))
    body = next(node.body for node in module.body if getattr(node, "name", "") == config_class.__name__)
    for field, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            nested = isinstance(field.value, ast.Call) and ast.unparse(field.value.func).endswith("Config")
            assert nested or isinstance(after, ast.Expr), f"{config_class.__name__}.{field.target.id} has no help"


# Checks


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


# Records and hashes


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
        assert (difference is not None) == leaf.hashed, leaf.name
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


def test_text_form_has_a_line_for_every_field():
    lines = as_text(LIGHTGCN).splitlines()
    assert lines[0] == 'model.name = "lightgcn"'
    assert "data.ratio = [3.0, 1.0, 1.0]" in lines
    assert len(lines) == len(list(leaves(LIGHTGCN))) + 1

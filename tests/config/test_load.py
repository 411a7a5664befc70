"""Reading an experiment from its file, and how a file that fails is told."""

import json

import pytest

from jaxrec.config import (
    Experiment,
    load_config,
    to_json,
)
from jaxrec.errors import UserError
from jaxrec.models.lightgcn import LightGCNConfig

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


def test_a_record_is_read_as_a_run_folder_and_as_to_json_hold_it(tmp_path):
    experiment = Experiment(LightGCNConfig(dim=8), seed=3, name="mine")
    held = {"schema": 1, "name": "mine", "hash": "0", "experiment": to_json(experiment)}
    assert load_config(write(tmp_path, json.dumps(held), "config.json")) == experiment
    assert load_config(write(tmp_path, json.dumps(to_json(experiment)), "other.json")) == experiment
    nameless = to_json(Experiment(LightGCNConfig(dim=8)))
    assert load_config(write(tmp_path, json.dumps(nameless), "other.json")).name == "other"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{\n"model":', ["mine.json:2", "not JSON"]),
        ("[1]", ["mine.json", "found list", "an object"]),
        ("{}", ["mine.json", "model"]),
        (json.dumps(to_json(Experiment(LightGCNConfig())) | {"epochs": 3}), ["mine.json", "unknown field epochs"]),
    ],
)
def test_a_record_that_is_none_is_told_in_one_line(tmp_path, text, words):
    message = refused(write(tmp_path, text, "mine.json"))
    assert all(word in message for word in words), message


def test_a_config_that_loads_another_tells_of_it(tmp_path):
    path = write(tmp_path, "from jaxrec.config import load_config\n\nload_config('nowhere.py')\n")
    assert refused(path).startswith(f"{path}:3: nowhere.py: no such config file")

"""The command of the stage: what it prints, plans and refuses."""

import contextlib
import io
import json
import pathlib
import shlex
import socket

import pytest
from rich.console import Console

from jaxrec import launch
from jaxrec.command_line import run_command
from jaxrec.errors import UserError
from jaxrec.precompute.__main__ import load_precompute, main
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.display import print_plan
from jaxrec.precompute.registry import STEPS, load_step, steps_in_order
from jaxrec.precompute.requests import Plan

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run the command on the shipped config of the sample: exit, stdout, stderr."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("JAXREC_DATA", raising=False)

    def call(*flags, name="sample"):
        status = None
        with contextlib.suppress(SystemExit):
            steps = () if "--steps" in flags else ("--steps", "motivations", "embeddings")
            status = main(["--config", f"configs/precompute_{name}.py", "--out", str(tmp_path), *steps, *flags])
        return status, *capsys.readouterr()

    return call


def test_the_command_makes_what_exists_and_says_where(run, tmp_path):
    limits = ("--motivations.item-limit", "40", "--motivations.user-limit", "30")
    status, out, log = run(*limits)
    assert status == 0
    folders = sorted(path.name for path in (tmp_path / "sample").iterdir())
    assert [name.rpartition("-")[0] for name in folders] == ["embeddings", "motivations"]
    assert all(str(tmp_path / "sample" / name) in out for name in folders)
    assert f"jaxrec.launch --config configs/lmmrec_steam.py --text.path {tmp_path}/sample/embeddings-" in out
    assert "30 of 1,000 users, 97.0 % missing" in out
    assert "item motivations: 40 of 40 done, 0 failed, 0 missing" in log
    status, out, log = run(*limits)
    assert out.count("made before by") == 2


def test_every_step_of_the_sample_runs_without_a_network_and_a_model_trains_on_it(run, tmp_path, monkeypatch):
    """The shipped config as it is, but for fewer questions, and the command that it prints."""

    def refuse(*_):
        raise AssertionError("somebody opened a connection")

    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    steps = load_precompute(ROOT / "configs/precompute_sample.py").steps
    assert set(steps) == set(STEPS) - {"candidates", "tuning", "ranking"}  # these stand on a run
    limits = ["--motivations.item-limit", "200", "--motivations.user-limit", "30", "--simulated-user.user-limit", "20"]
    status, out, _ = run("--steps", *steps, *limits)
    assert status == 0
    folders = list((tmp_path / "sample").iterdir())
    assert sorted(path.name.rpartition("-")[0] for path in folders) == sorted(steps)
    assert all(str(folder) in out for folder in folders)
    assert all(json.loads((folder / "manifest.json").read_text())["complete"] for folder in folders)
    (told,) = (line.partition("to train on it: ")[2] for line in out.splitlines() if "to train on it: " in line)
    words = shlex.split(told)
    assert words[:3] == ["python", "-m", "jaxrec.launch"]
    quick = ["--train.epochs", "1", "--devices.count", "1", "--workdir", str(tmp_path / "run")]
    monkeypatch.setenv("JAXREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)
    assert run_command(launch.main, [*words[3:], *quick]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert words[-1] in json.dumps(config)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["protocols"]["full"]["test"]["recall@20"] > 0


def test_the_plan_asks_nothing_and_needs_no_key(run, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    status, out, _ = run(
        "--plan", "--backend", "openai", "--motivations.item-limit", "20", "--motivations.user-limit", "9"
    )
    assert status == 0
    assert not (tmp_path / "sample").exists()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert [row[:3] for row in rows] == [["motivations", "29", "0"], ["embeddings", "29", "0"], ["all", "58", "0"]]
    assert 0 < float(rows[2][5]) < 1
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        run("--backend", "openai", "--motivations.item-limit", "2")


def test_a_plan_says_what_nobody_knows():
    timed, untimed = Plan(2, seconds=300.0), Plan(1, untimed=True, notes=("ask a few",))
    said = io.StringIO()
    print_plan(Console(file=said, width=120), {"a": timed, "b": untimed, "c": Plan(), "d": None})
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.getvalue().splitlines() if "│" in line]
    assert [(row[0], row[1], row[-1]) for row in lines] == [
        ("a", "2", "5 min"), ("b", "1", "unknown"), ("c", "asks nobody", ""), ("d", "made already", ""),
        ("all", "3", "over 5 min"),
    ]  # fmt: skip
    assert said.getvalue().endswith("ask a few\n")


def test_data_flags_that_differ_are_in_the_command_of_the_run(run):
    limits = ("--motivations.item-limit", "5", "--motivations.user-limit", "5")
    _, out, _ = run("--data.split", "leave_one_out", "--data.no-reviews", *limits)
    assert "--config configs/lmmrec_steam.py --data.split leave_one_out --text.path" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--steps", "motivation"], "steps: found motivation, allowed: motivations"),
        (["--backend", "oracle"], "--backend: found 'oracle', allowed: one of openai"),
        (["--motivations.user-items", "0"], r"motivations\.user_items: found 0, allowed: 1 or more"),
        (["--embeddings.source", "encoder"], "with --embeddings.encoder DIR"),
        (["--embeddings.encoder", "x", "--embeddings.source", "tfidf"], r"embeddings\.source: found tfidf beside"),
        (["--motivation.seed", "1"], "no such flag; nearest: --motivations.seed"),
        (["--motivations.temperature", "nan"], "finite"),
        (["--config", "x"], "given twice"),
        (["--out"], "--out: found no value"),
    ],
)
def test_mistakes_are_one_line(run, flags, message):
    with pytest.raises(UserError, match=message) as caught:
        run(*flags)
    assert "\n" not in str(caught.value)


def test_help_and_missing_configs(run, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "configs/precompute_sample.py" in text
    assert "configs/lmmrec_steam.py" not in text
    assert all(step in text for step in STEPS)
    with pytest.raises(UserError, match="nearest: configs/precompute_steam"):
        main(["--config", "configs/precompute_stea.py"])
    with pytest.raises(UserError, match=r"returned Experiment, allowed is jaxrec\.precompute"):
        main(["--config", "configs/lmmrec_steam.py"])
    _, out, _ = run("--help")
    assert "--motivations.item-reviews" in out
    assert "--openai.max-usd" in out


def test_steps_know_each_other():
    for name in STEPS:
        step = load_step(name)
        assert step.name == name
        assert all(list(STEPS).index(need) < list(STEPS).index(name) for need in step.needs_of(PrecomputeConfig()))
    assert [step.name for step in steps_in_order(["embeddings"], PrecomputeConfig())] == ["motivations", "embeddings"]

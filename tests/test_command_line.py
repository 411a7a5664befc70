"""Launch arguments, exit statuses, and the one line that a user's mistake becomes."""

import pathlib
import subprocess
import sys

import pytest

from jaxrec.command_line import run_command, split_launch_arguments
from jaxrec.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "argv",
    [
        ["--config", "a.py", "--workdir", "w", "--model.dim", "4"],
        ["--model.dim", "4", "--workdir=w", "--config=a.py"],
        ["--workdir", "w", "--model.dim", "4", "--config", "a.py"],
    ],
)
def test_config_and_workdir_are_taken_in_any_order_and_form(argv):
    found = split_launch_arguments(argv)
    assert found.config_path == pathlib.Path("a.py")
    assert found.workdir == pathlib.Path("w")
    assert found.rest == ["--model.dim", "4"]
    assert found.profile is None


def test_the_steps_to_trace_are_taken_out_too():
    found = split_launch_arguments(["--profile", "5:9", "--config", "a.py", "--model.dim", "4"])
    assert found.profile == "5:9"
    assert found.rest == ["--model.dim", "4"]


def test_an_abbreviation_is_not_taken_for_a_launch_argument():
    found = split_launch_arguments(["--config", "a.py", "--work", "w"])
    assert found.workdir is None
    assert found.rest == ["--work", "w"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--config"], ["--config", "no value", "file"]),
        (["--config", "--workdir", "w"], ["--config", "no value"]),
        (["--config="], ["--config", "no value"]),
        (["--config", "a.py", "--workdir"], ["--workdir", "folder"]),
        (["--config", "a.py", "--config=b.py"], ["twice", "a.py", "b.py"]),
        (["--config", "a.py", "--profile"], ["--profile", "no value", "FIRST:END"]),
        (["--workdir", "w"], ["--config FILE is missing"]),
        ([], ["--config FILE is missing"]),
    ],
)
def test_a_launch_argument_without_value_or_given_twice_is_refused(argv, words):
    with pytest.raises(UserError) as error:
        split_launch_arguments(argv)
    assert all(word in str(error.value) for word in words)


def test_a_missing_config_lists_the_shipped_ones(monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=r"configs/lightgcn_amazon_book\.py.*configs/lmmrec_steam\.py"):
        split_launch_arguments([])


def test_help_without_a_config_explains_and_exits_0(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stop:
        split_launch_arguments(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "--config FILE" in text
    assert "--workdir DIR" in text
    assert "configs/lmmrec_steam.py" in text


def test_a_user_error_is_one_line_and_exit_2(capsys):
    def main(argv):
        raise UserError(f"data.csv:7:\n  rating: found {argv[0]!r},\tallowed: a number")

    assert run_command(main, ["abc"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "jaxrec: error: data.csv:7: rating: found 'abc', allowed: a number\n"
    assert captured.out == ""


def test_exit_statuses_of_the_other_ends():
    def interrupted(argv):
        raise KeyboardInterrupt

    def bug(argv):
        raise ZeroDivisionError

    assert run_command(lambda argv: 0, []) == 0
    assert run_command(interrupted, []) == 130
    with pytest.raises(ZeroDivisionError):
        run_command(bug, [])


def run_python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_a_bug_shows_its_traceback_and_exits_with_1():
    code = (
        "import sys; from jaxrec.command_line import run_command\n"
        "def main(argv): return {}['bug']\n"
        "sys.exit(run_command(main, []))"
    )
    done = run_python(code)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError: 'bug'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "configs/lmmrec_steem.py"], ["configs/lmmrec_steem.py", "nearest: configs/lmmrec_steam.py"]),
        (["--config", "configs/lightgcn_gowalla.py", "--modle.dim", "64"], ["--modle.dim", "nearest: --model.dim"]),
    ],
)
def test_the_main_command_says_a_mistake_in_one_line(arguments, words):
    done = subprocess.run(
        [sys.executable, "-m", "jaxrec.launch", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("jaxrec: error: ")
    assert all(word in done.stderr for word in words)

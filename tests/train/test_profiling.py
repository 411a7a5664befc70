"""Traces of training steps: which steps, what is in them, and that they change no number."""

import pathlib
import types

import pytest

from jaxrec import launch
from jaxrec.command_line import run_command
from jaxrec.errors import UserError
from jaxrec.train.profile_summary import operation_times, summary_text
from jaxrec.train.profiling import ProfiledSteps, Profiler, parse_profiled_steps
from tests.train.test_loop import make, same_bits


@pytest.mark.parametrize(
    ("text", "steps"),
    [("10", ProfiledSteps(None, 10)), ("0:1", ProfiledSteps(0, 1)), ("100:110", ProfiledSteps(100, 10))],
)
def test_steps_are_a_count_or_a_range(text, steps):
    assert parse_profiled_steps(text) == steps


@pytest.mark.parametrize("text", ["", "0", "-1", "5:5", "7:5", "a:b", "1:2:3", "10:", ":10", "1001", "0:1001", "1.5"])
def test_other_steps_are_refused_in_one_line(text):
    with pytest.raises(UserError, match=r"^--profile: found .*, allowed: .*100:110[^\n]*$"):
        parse_profiled_steps(text)


def test_calls_end_where_the_trace_begins_and_take_one_step_inside_it(tmp_path):
    profiler = Profiler(tmp_path, ProfiledSteps(5, 3))
    assert [profiler.steps(step, 4) for step in (0, 3, 4, 5, 6, 7, 8)] == [4, 2, 1, 1, 1, 1, 4]
    after_the_first = Profiler(tmp_path, ProfiledSteps(None, 2))
    assert [after_the_first.steps(step, 4) for step in (8, 9, 10, 11)] == [1, 1, 1, 4]
    assert Profiler().steps(0, 4) == 4


def test_a_trace_holds_its_steps_and_changes_no_number(tmp_path):
    plain = make(tmp_path / "plain", epochs=2).run()
    folder, notices = tmp_path / "traced", []
    trainer = make(folder, epochs=2)
    trainer.profiler = Profiler(folder, ProfiledSteps(2, 3), notices.append)
    traced = trainer.run()
    same_bits(plain.params, traced.params)
    assert notices == [
        f"profile of steps 2 to 4 in {folder / 'profile'}; the longest operations are in "
        f"{folder / 'profile' / 'summary.txt'}"
    ]
    import jax

    (path,) = (folder / "profile").rglob("*.xplane.pb")
    assert list((folder / "profile").rglob("*.trace.json.gz"))
    trace = jax.profiler.ProfileData.from_file(str(path))
    events = [event for plane in trace.planes for line in plane.lines for event in line.events]
    steps = [dict(event.stats)["step_num"] for event in events if event.name == "train"]
    assert steps == [2, 3, 4]
    times = operation_times(trace)
    assert {one.program for one in times} >= {"jit_run"}
    assert "jit_run" in (folder / "profile" / "summary.txt").read_text()


def test_steps_that_training_does_not_reach_are_told(tmp_path):
    notices = []
    trainer = make(tmp_path / "run", epochs=1)
    trainer.profiler = Profiler(tmp_path / "run", ProfiledSteps(100, 3), notices.append)
    trainer.run()
    assert notices == ["nothing was profiled: training did not come to the steps of --profile"]
    assert not (tmp_path / "run" / "profile").exists()


def test_a_model_that_trains_nothing_has_nothing_to_profile(capsys):
    config = pathlib.Path(__file__).parents[2] / "configs" / "popularity_amazon_book.py"
    assert run_command(launch.main, ["--config", str(config), "--profile", "5"]) == 2
    assert capsys.readouterr().err == "jaxrec: error: --profile: found the model popularity, allowed: one that trains\n"


def test_the_time_of_an_operation_is_without_those_inside_it():
    def event(name, start, duration, program="jit_run"):
        stats = [("hlo_op", name), ("hlo_module", program)] if program else []
        return types.SimpleNamespace(start_ns=start, duration_ns=duration, stats=stats)

    loop = [event("while", 0, 100), event("dot", 10, 40), event("add", 15, 5), event("dot", 60, 30)]
    other = [event("dot", 0, 8), event("copy", 8, 2), event("host", 0, 50, None)]
    lines = [types.SimpleNamespace(events=loop), types.SimpleNamespace(events=other)]
    times = operation_times(types.SimpleNamespace(planes=[types.SimpleNamespace(lines=lines)]))
    found = {one.operation: (one.calls, round(1e9 * one.seconds)) for one in times}
    assert found == {"dot": (3, 35 + 30 + 8), "while": (1, 30), "add": (1, 5), "copy": (1, 2)}
    assert [one.operation for one in times] == ["dot", "while", "add", "copy"]
    text = summary_text(times)
    assert "66.4%" in text
    assert "110" not in text.splitlines()[1]

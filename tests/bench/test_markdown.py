"""The tables of docs/benchmarks.md: what stands in them, and that every command in the page can be given."""

import json
import pathlib
import shlex

import pytest

from jaxrec.bench.__main__ import main, make_parser
from jaxrec.bench.goals import GOALS
from jaxrec.bench.markdown import BEGIN, END, between_markers, by_machine, measured_on, of_bytes, tables
from jaxrec.bench.report import merge, same_machine
from jaxrec.errors import UserError

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "benchmarks.md"


def report(**changes):
    times = {"jaxrec scan": 0.05, "torch sparse COO autograd": 0.3}
    program = {"compile_seconds": 1.25, "temporary_bytes": 2_500_000, "collective_bytes": 0, "kernels": 17}
    return {
        "schema": 1,
        "created": "2030-01-02T03:04:05+00:00",
        "environment": {
            "commit": "0123456789abcdef+",
            "versions": {"jax": "1.2.3"},
            "flags": {"XLA_FLAGS": "", "OMP_NUM_THREADS": "2"},
            "device_kind": "cpu",
            "num_devices": 1,
            "cores": 2,
        },
        "settings": {"repeats": 9, "scale": "full", "torch": True},
        "workloads": {
            "lightgcn_step": {
                "unit": "seconds a step",
                "variants": {name: {"median": value, "min": value / 2} for name, value in times.items()},
                "programs": {"jaxrec scan": program},
                "roofline": {"jaxrec scan": {"bound_seconds": 0.01, "limit": "memory", "share": 0.2}},
                "peak_rss_bytes": 3_000_000_000,
                "checks": {"gradients_equal": True},
            }
        },
    } | changes


def test_a_goal_and_a_figure_stand_beside_their_commands():
    found = tables(report())
    row = next(line for line in found.splitlines() if line.startswith("| P1 |"))
    assert "| 5x | 12x | 6x | met |" in row
    assert "`python -m jaxrec.bench run lightgcn_step --torch-python PYTHON`" in row
    assert "1 x cpu, 2 cores, jax 1.2.3; flags: `OMP_NUM_THREADS=2`. " in found
    assert "2030-01-02, 9 repetitions, commit 0123456789ab+." in found
    assert "| jaxrec scan | seconds a step | 0.05 | 0.025 | 0.20 | memory | 1.2 s | 2.5 MB |  | 17 |" in found
    assert "3 GB resident at most" in found
    assert "| not measured: not run |" in next(line for line in found.splitlines() if line.startswith("| P10 |"))


def test_every_command_of_the_page_is_one_that_can_be_given():
    parser = make_parser()
    page = PAGE.read_text(encoding="utf-8")
    spans = [span for line in page.splitlines() for span in line.split("`")[1::2]]
    spans += [line.strip() for line in page.splitlines() if line.startswith("    python -m")]
    commands = [span for span in spans if span.startswith("python -m jaxrec.bench ")]
    assert len(commands) > len(GOALS)
    for command in commands:
        parser.parse_args(shlex.split(command)[3:])


def test_the_page_holds_every_goal_as_it_is():
    inside = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]

    def lines(text):
        cells = [
            [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")
        ]
        return [[*row[:5], row[-1]] for row in cells if row[0] in {goal.id for goal in GOALS}]

    assert lines(inside) == lines(tables(None))
    assert len(lines(inside)) == len(GOALS)


def test_goals_of_accelerators_have_a_section_and_a_report_of_their_own():
    assert "Not measured: no accelerator was at hand." in tables(report()).split("### Goals for accelerators")[1]
    times = {"jaxrec, epoch": 0.2, "torch sparse COO autograd, epoch without sampling": 4.0}
    variants = {name: {"median": value, "min": value} for name, value in times.items()}
    environment = report()["environment"] | {"device_kind": "an accelerator"}
    workloads = {"lightgcn_device_epoch": {"unit": "seconds an epoch", "variants": variants, "checks": {}}}
    accelerator = report(environment=environment, workloads=workloads)
    of_cpu, rest = tables(report(), accelerator).split("### Goals for accelerators")
    assert "1 x cpu" in of_cpu
    assert "| P1 | LightGCN step | torch sparse COO autograd | 5x | 12x | 6x | met |" in of_cpu
    assert "1 x an accelerator" in rest
    assert "| 5x | 20x | 20x | met, aim too | `python -m jaxrec.bench run lightgcn_device_epoch" in rest
    assert "| M1 |" in rest
    assert "not measured: needs eight devices" in rest
    assert by_machine([accelerator, report()]) == ([report()], [accelerator])


def test_a_page_is_written_between_its_markers_alone(tmp_path, capsys):
    page, path = tmp_path / "page.md", tmp_path / "report.json"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    path.write_text(json.dumps(report()))
    assert main(["table", str(path), "--write", str(page)]) == 0
    assert page.read_text() == f"before\n{BEGIN}\n\n{tables(report()).strip()}\n\n{END}\nafter\n"
    assert main(["table", str(path)]) == 0
    assert "| P1 |" in capsys.readouterr().out
    with pytest.raises(UserError, match="no pair of markers"):
        between_markers(f"{END}\n{BEGIN}", "page.md", "")


def test_runs_of_one_machine_make_one_table_that_says_which_measured_what():
    later = report(created="2030-02-01T00:00:00+00:00", settings={"repeats": 3, "scale": "full", "torch": False})
    later["environment"]["commit"] = "fedcba9876543210"
    later["workloads"]["ranking"] = later["workloads"].pop("lightgcn_step")
    merged = merge(merge(report(), report()), later)
    found = measured_on(merged)
    assert "lightgcn_step: 2030-01-02, 9 repetitions, commit 0123456789ab+; " in found
    assert found.endswith("ranking: 2030-02-01, 3 repetitions, commit fedcba987654.")
    assert same_machine(report(), later) is None
    again = report(created="2030-03-01T00:00:00+00:00")
    assert "2030-01-02" not in measured_on(merge(merged, again))
    small = report(settings={"repeats": 9, "scale": "small", "torch": True})
    assert same_machine(report(), small) == "scale"


def test_reports_of_different_machines_are_not_mixed(tmp_path, capsys):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, kind in zip(paths, ("an accelerator", "another"), strict=True):
        path.write_text(json.dumps(report(environment=report()["environment"] | {"device_kind": kind})))
    assert main(["table", *map(str, paths)]) == 2
    assert "found another environment" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "text"), [(None, ""), (0, "0 B"), (8196, "8.2 KB"), (35_100_000, "35.1 MB")])
def test_bytes_are_said_in_their_unit(count, text):
    assert of_bytes(count) == text

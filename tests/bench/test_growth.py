"""Growth curves: exponents, the small curves of the graph and of devices, the figure, and what a mistake gets."""

import json

import pytest

from jaxrec.bench import growth
from jaxrec.bench.__main__ import main
from jaxrec.bench.growth import curve, exponent, grow
from jaxrec.bench.growth_figure import draw_growth
from jaxrec.bench.settings import Settings

SMALL = Settings(repeats=1, scale="small")


def test_exponents_are_slopes_of_logarithms():
    sizes = [8, 16, 32, 64]
    assert exponent(sizes, [3.0 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert exponent(sizes, [7.0] * 4) == pytest.approx(0.0)
    assert exponent(sizes, [0, 0, 32, 64]) == pytest.approx(1.0)  # what costs nothing at a size is no point
    assert exponent(sizes, [0, None, 0, 5]) is None


def test_a_curve_is_in_the_order_of_its_sizes_and_leaves_out_what_nobody_knows():
    found = curve({16: {"temporary_bytes": 4, "seconds": None}, 8: {"temporary_bytes": 2, "seconds": None}})
    assert found["sizes"] == [8, 16]
    assert found["costs"] == {"temporary_bytes": [2, 4]}
    assert found["exponents"] == {"temporary_bytes": pytest.approx(1.0)}


@pytest.mark.slow
def test_costs_of_a_step_grow_with_its_edges_but_its_state_does_not_with_them():
    entry = grow(SMALL, ["edges"])
    exponents = entry["curves"]["edges"]["exponents"]
    assert 0.5 < exponents["counted_operations"] < 1.5
    # Tables and Adam's moments are those of the nodes; the edges' indices are what grows.
    assert 0 < exponents["argument_bytes"] < 1
    assert "seconds" not in exponents


@pytest.mark.parametrize(("scale", "slope", "holds"), [("full", 1.0, True), ("full", 2.0, False), ("small", 2.0, None)])
def test_at_full_scale_what_grows_faster_than_its_axis_fails_its_check(scale, slope, holds):
    points = {size: {"temporary_bytes": size**slope} for size in (8, 16, 32)}
    found = growth._checks({"users": curve(points)}, scale)
    assert found == ({} if holds is None else {"users: no more than linear": holds})


@pytest.mark.parametrize(("said", "holds"), [([0, 64, 64], True), ([0, 64, 128], False)])
def test_bytes_said_must_not_grow_with_devices(said, holds):
    points = {count: {"collective_bytes": value} for count, value in zip((1, 2, 4), said, strict=True)}
    assert growth._checks({"devices": curve(points)}, "small") == {"devices: bytes said do not grow": holds}


@pytest.mark.slow
@pytest.mark.multiprocess
def test_every_axis_and_its_figure(tmp_path, capsys):
    report, figure = tmp_path / "report.json", tmp_path / "growth.png"
    assert main(["growth", "--scale", "small", "--out", str(report), "--figure", str(figure)]) == 0
    curves = json.loads(report.read_text())["workloads"]["growth"]["curves"]
    assert tuple(curves) == growth.AXES
    said = curves["devices"]["costs"]["collective_bytes"]
    assert said[0] == 0
    assert len(set(said[1:])) == 1
    assert figure.stat().st_size > 0
    assert "users" in capsys.readouterr().out


def test_the_figure_draws_what_is_known(tmp_path):
    curves = {"users": curve({8: {"temporary_bytes": 2}, 16: {"temporary_bytes": 4}})}
    draw_growth(curves, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "arguments", [["--axes", "breadth"], ["--figure", "no/such/folder/growth.png"], ["--scale", "huge"]]
)
def test_a_mistake_gets_one_line_and_status_2(arguments, capsys):
    assert main(["growth", *arguments]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1

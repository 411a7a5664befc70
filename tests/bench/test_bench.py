"""The benchmark command: timing in turn, reports, comparisons, and what a mistake gets."""

import copy
import json
import sys

import numpy as np
import pytest

from jaxrec.bench.__main__ import main
from jaxrec.bench.comparison import compare, failures
from jaxrec.bench.lightgcn import LightGCNCase
from jaxrec.bench.lightgcn_epoch import rejection_sample
from jaxrec.bench.peer import Peer
from jaxrec.bench.registry import WORKLOADS, load
from jaxrec.bench.report import read_report
from jaxrec.bench.runner import interleave, ratios
from jaxrec.bench.settings import Settings
from jaxrec.bench.synthetic import interaction_pairs, lightgcn_workload, triple_batches
from jaxrec.errors import UserError


def test_every_workload_says_what_it_measures():
    for name in WORKLOADS:
        workload = load(name)
        assert workload.DESCRIPTION
        assert "\n" not in workload.DESCRIPTION
        assert callable(workload.run)


def test_variants_are_called_in_turn_and_the_warm_up_is_not_counted(capsys):
    calls = []

    def variant(name, seconds):
        def call():
            calls.append(name)
            return seconds[calls.count(name) - 1]

        return call

    variants = {"a": variant("a", [99.0, 2.0, 4.0, 9.0]), "b": variant("b", [99.0, 1.0, 3.0, 2.0])}
    times = interleave(variants, Settings(repeats=3), per={"b": 2})
    assert calls == ["a", "b"] * 4
    assert times["a"] == {"seconds": [2.0, 4.0, 9.0], "median": 4.0, "min": 2.0}
    assert times["b"] == {"seconds": [0.5, 1.5, 1.0], "median": 1.0, "min": 0.5}
    assert ratios(times, "b") == {"a": {"median": 4.0, "min": 4.0}}
    assert capsys.readouterr().out == ""


def test_synthetic_pairs_are_distinct_skewed_and_reach_every_node():
    workload = lightgcn_workload("small")
    users, items = interaction_pairs(workload)
    assert len(users) == workload.num_pairs
    assert len(set(zip(users.tolist(), items.tolist(), strict=True))) == workload.num_pairs
    of_items = np.bincount(items, minlength=workload.num_items)
    assert np.bincount(users, minlength=workload.num_users).min() >= 1
    assert of_items.min() >= 1
    assert np.sort(of_items)[-40:].sum() > 2.0 * workload.num_pairs * 40 / workload.num_items
    batches = triple_batches(workload, users, items, 2)
    assert batches.shape == (2, 3, workload.batch_size)


def test_numpy_rejection_gives_no_positive():
    case = LightGCNCase(lightgcn_workload("small"))
    triples = rejection_sample(case, np.random.default_rng(0))
    positives = set(zip(case.user_ids.tolist(), case.item_ids.tolist(), strict=True))
    assert len(triples) == len(positives)
    assert {(user, item) for user, item, _ in triples.tolist()} == positives
    assert not positives & {(user, negative) for user, _, negative in triples.tolist()}


@pytest.mark.parametrize("name", ["lightgcn_step", "sampler"])
def test_a_small_run_writes_a_report_whose_checks_hold(name, tmp_path, capsys):
    path = tmp_path / "report.json"
    assert main(["run", name, "--scale", "small", "--repeats", "1", "--out", str(path)]) == 0
    report = read_report(str(path))
    assert report["environment"]["versions"]["jax"]
    entry = report["workloads"][name]
    assert entry["checks"]
    assert all(entry["checks"].values())
    assert all(times["median"] > 0 for times in entry["variants"].values())
    assert entry["ratios"].keys() < entry["variants"].keys()
    assert name in capsys.readouterr().out
    assert main(["compare", str(path), str(path), "--fail-over", "1.0"]) == 0


def report_of(median, checks):
    variants = {"jaxrec": {"seconds": [median], "median": median, "min": median}, "peer": {"median": 1.0, "min": 1.0}}
    return {"schema": 1, "workloads": {"step": {"variants": variants, "checks": checks}}}


def test_comparison_fails_where_ours_is_slower_or_a_check_broke(tmp_path, capsys):
    before, after = report_of(1.0, {"equal": True}), report_of(1.2, {"equal": True})
    changes = compare(before, after)
    assert [(change.variant, change.factor) for change in changes] == [("jaxrec", 1.2), ("peer", 1.0)]
    assert failures(changes, after, None) == []
    assert failures(changes, after, 1.3) == []
    assert len(failures(changes, after, 1.1)) == 1
    slow_peer = copy.deepcopy(before)
    slow_peer["workloads"]["step"]["variants"]["peer"]["median"] = 9.0
    assert failures(compare(before, slow_peer), slow_peer, 1.1) == []
    assert len(failures(changes, report_of(1.0, {"equal": False}), None)) == 1
    for name, report in (("before", before), ("after", after)):
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    paths = [str(tmp_path / "before.json"), str(tmp_path / "after.json")]
    assert main(["compare", *paths]) == 0
    assert main(["compare", *paths, "--fail-over", "1.10"]) == 1
    assert "1.20" in capsys.readouterr().err


def test_comparison_fails_where_a_program_of_ours_costs_more():
    before = report_of(1.0, {})
    before["workloads"]["step"]["programs"] = {
        name: {"kernels": 10, "temporary_bytes": 100, "collective_bytes": 0} for name in ("jaxrec", "peer")
    }
    after = copy.deepcopy(before)
    after["workloads"]["step"]["programs"]["jaxrec"] |= {"kernels": 12, "collective_bytes": 8, "temporary_bytes": None}
    after["workloads"]["step"]["programs"]["peer"]["kernels"] = 99
    failed = failures(compare(before, after), after, 1.1)
    assert failed == [
        "step, jaxrec: inf times the bytes said, allowed 1.1",
        "step, jaxrec: 1.20 times the kernels, allowed 1.1",
    ]
    assert failures(compare(before, before), before, 1.0) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "lightgcn_stop"],
        ["run"],
        ["run", "sampler", "--repeats", "0"],
        ["run", "sampler", "--repeats", "many"],
        ["run", "sampler", "--scale", "huge"],
        ["run", "sampler", "--out", "no/such/folder/report.json"],
        ["run", "sampler", "--scale", "small", "--torch-python", "no-such-python"],
        ["compare", "no-such.json", "no-such.json"],
        ["compare", __file__, __file__],
    ],
)
def test_a_mistake_gets_one_line_and_status_2(arguments, capsys):
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_reports_that_share_nothing_are_refused(tmp_path, capsys):
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"schema": 1, "workloads": {}}))
    assert main(["compare", str(path), str(path)]) == 2
    assert "found no variant" in capsys.readouterr().err


def test_a_peer_that_dies_is_the_users_mistake(tmp_path):
    with (
        Peer(sys.executable, "torch_sampler.py", str(tmp_path / "missing.npz")) as peer,
        pytest.raises(UserError, match="--torch-python"),
    ):
        peer.ask(workers=0)

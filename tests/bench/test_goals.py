"""The goals beside reports: which are met, which cannot be told, and that each names what its workload measures."""

import json

import pytest

from jaxrec.bench import (
    alignment,
    candidate_ranking,
    capsule_routing,
    compile_cache,
    data_prepare,
    generation,
    graph_devices,
    item_softmax,
    lightgcn,
    lightgcn_device_epoch,
    lightgcn_epoch,
    lightgcn_step,
    m3bsr_step,
    mf_steps,
    prefix_scoring,
    propagation,
    ranking,
    reverse_chain,
    sampler,
    sasrec_epoch,
    sasrec_step,
    seeds_at_once,
    sequence_devices,
    step_collectives,
)
from jaxrec.bench.__main__ import main
from jaxrec.bench.commands import goals_command
from jaxrec.bench.devices import NEEDS as ALL
from jaxrec.bench.devices import offers
from jaxrec.bench.goal import Figure, Goal, Ratio, judge
from jaxrec.bench.goals import GOALS, judge_all, select
from jaxrec.bench.on_mesh import COUNTS, devices
from jaxrec.bench.registry import NEEDS, WORKLOADS

VARIANTS = {
    "lightgcn_step": {lightgcn_step.OURS, lightgcn.GRAPH_NETWORK, *lightgcn.TORCH_VARIANTS},
    "lightgcn_epoch": {lightgcn_epoch.OURS, *(f"{name}, Python sampler" for name in lightgcn.TORCH_VARIANTS)},
    "sasrec_step": {sasrec_step.OURS, *sasrec_step.TORCH_VARIANTS},
    "item_softmax": {
        f"{name}, {item_softmax.CASES['full'][0].name}" for name in (item_softmax.OURS, item_softmax.TORCH)
    },
    "ranking": {ranking.COUNTED, ranking.LISTED, *ranking.TORCH_VARIANTS},
    "prefix_scoring": {prefix_scoring.OURS, prefix_scoring.SINGLE, prefix_scoring.PLAIN},
    "mf_steps": {mf_steps.OURS, mf_steps.TORCH},
    "compile_cache": {compile_cache.WARM, compile_cache.COLD},
    "reverse_chain": {reverse_chain.OURS, reverse_chain.TORCH},
    "sampler": {sampler.DEVICE, sampler.BLOCKS, *sampler.LOADERS},
    "alignment": {alignment.OURS, alignment.PLAIN},
    "capsule_routing": {*capsule_routing.OURS, *capsule_routing.TORCH},
    "seeds_at_once": {
        name(family, seeds_at_once.SEEDS["full"])
        for name in (seeds_at_once.at_once_name, seeds_at_once.alone_name)
        for family in ("LightGCN", "SASRec")
    },
    "lightgcn_device_epoch": {
        lightgcn_device_epoch.OURS,
        lightgcn_device_epoch.RANKED,
        lightgcn_device_epoch.TORCH,
        lightgcn_device_epoch.TORCH_RANKED,
    },
    "propagation": {propagation.STEP, propagation.PLAIN_STEP},
    "sasrec_epoch": {sasrec_epoch.OURS, *sasrec_epoch.TORCH_VARIANTS},
    "m3bsr_step": {m3bsr_step.OURS, m3bsr_step.PLAIN},
    "large_rerank": {candidate_ranking.OURS, candidate_ranking.ONE_BY_ONE},
    "graph_devices": {
        *(f"jaxrec {workload}, {devices(count)}" for workload in graph_devices.WORKLOADS["full"] for count in COUNTS),
        f"{next(iter(graph_devices.WORKLOADS['full']))}, nodes shared out by the compiler, 8 devices",
    },
    "sequence_devices": {f"jaxrec {sequence_devices.CATALOGUE}, {devices(count)}" for count in COUNTS},
    "generation": {f"{name}, batch {size}" for name in (generation.OURS, generation.PEER) for size in (1, 8)},
}


def report_of(medians, checks=None, scale="full", kind="cpu", count=1):
    variants = {name: {"seconds": [value], "median": value, "min": value} for name, value in medians.items()}
    return {
        "schema": 1,
        "environment": {"device_kind": kind, "num_devices": count},
        "settings": {"scale": scale},
        "workloads": {"lightgcn_step": {"variants": variants, "checks": checks or {}}},
    }


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: f"{goal.id} {goal.subject} {goal.against}")
def test_a_goal_names_what_its_workload_measures(goal):
    assert goal.workload in WORKLOADS
    assert goal.must is not None or goal.aim is not None
    if goal.must is not None and goal.aim is not None:
        assert goal.find.within(goal.aim, goal.must)
    if isinstance(goal.find, Ratio):
        assert {goal.find.ours, goal.find.peer} <= VARIANTS[goal.workload]


def test_figures_are_of_programs_and_times_that_are_reported():
    paths = [goal.find.path for goal in GOALS if isinstance(goal.find, Figure) and len(goal.find.path) > 1]
    assert paths == [
        ("programs", step_collectives.FEATURES, "collective_bytes"),
        (compile_cache.FIRST_STEP, compile_cache.WARM, "median"),
        *(("peak_rss_mb", stage) for stage in ("prepare", "train")),
        ("variants", lightgcn_device_epoch.OURS, "median"),
        ("roofline", propagation.OURS, "share"),
    ]


def test_all_sixteen_are_there():
    assert list(dict.fromkeys(goal.id for goal in select([]))) == [f"P{number}" for number in range(1, 17)]
    assert {goal.id for goal in select(["P6", "L2"])} == {"P6", "L2"}
    everything = list(dict.fromkeys(goal.id for goal in select([], ALL)))
    others = [f"G{number}" for number in range(1, 9)] + [f"M{number}" for number in range(1, 5)]
    assert everything == [f"P{number}" for number in range(1, 17)] + others
    assert len(select(["P6"])) == 2


def test_ratios_are_of_medians_and_minima():
    entry = {
        "variants": {"ours": {"median": 2.0, "min": 1.0}, "peer": {"median": 11.0, "min": 8.0}},
        "checks": {"equal": True},
    }
    goal = Goal("P0", "step", "a step", "peer", Ratio("ours", "peer"), 5, 12)
    judged = judge(goal, entry)
    assert (judged.measured, judged.minima, judged.met, judged.verdict) == (5.5, 8.0, True, "met")
    assert judge(goal, entry | {"checks": {"equal": False}}).met is False
    assert judge(goal, {"variants": {"ours": entry["variants"]["ours"]}, "checks": {}}).met is None


@pytest.mark.parametrize(("at_most", "met"), [(True, False), (False, True)])
def test_a_figure_is_a_limit_or_a_least(at_most, met):
    goal = Goal("P0", "step", "bytes", "", Figure(("programs", "ours", "temporary_bytes"), "B", at_most), 64, None)
    entry = {"variants": {}, "checks": {}, "programs": {"ours": {"temporary_bytes": 65}}}
    assert judge(goal, entry).met is met
    assert judge(goal, {"variants": {}, "checks": {}}).measured is None


def test_goals_hold_at_full_scale_on_their_device_alone():
    medians = {lightgcn_step.OURS: 1.0, lightgcn.GRAPH_NETWORK: 6.0}
    found = {judged.goal.id: judged for judged in judge_all(report_of(medians))}
    assert found["P3"].met
    assert found["P1"].verdict == "not measured: no --torch-python"
    assert found["P10"].verdict == "not measured: not run"
    assert judge_all(report_of(medians, scale="small")) == []
    of_one = {f"G{number}" for number in range(1, 9)} | {"L4"}
    assert {judged.goal.id for judged in judge_all(report_of(medians, kind="an accelerator"))} == of_one
    of_eight = of_one | {f"M{number}" for number in range(1, 5)}
    assert {judged.goal.id for judged in judge_all(report_of(medians, kind="an accelerator", count=8))} == of_eight
    assert {judged.goal.needs for judged in judge_all(report_of(medians, count=8))} == {"two CPU cores"}


def test_the_command_runs_each_workload_once_and_keeps_one_report(monkeypatch, tmp_path, capsys):
    asked = []

    class Done:
        returncode = 0

    def run(command, check):
        asked.append(command[command.index("run") + 1])
        report = report_of({lightgcn_step.OURS: 1.0, lightgcn.GRAPH_NETWORK: 4.0})
        report["workloads"] = {asked[-1]: report["workloads"]["lightgcn_step"]}
        report |= {"created": "2030-01-02T03:04:05+00:00", "settings": {"repeats": 9, "scale": "full"}}
        report["environment"]["commit"] = None
        with open(command[command.index("--out") + 1], "w", encoding="utf-8") as file:
            json.dump(report, file)
        return Done()

    monkeypatch.setattr(goals_command, "of_this_machine", lambda: ("two CPU cores",))
    monkeypatch.setattr(goals_command.subprocess, "run", run)
    path = tmp_path / "report.json"
    assert main(["goals", "P3", "P1", "P10", "--out", str(path)]) == 1
    assert asked == ["lightgcn_step", "ranking"]
    assert json.loads(path.read_text())["workloads"].keys() == {"lightgcn_step", "ranking"}
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["P1", "P3", "P10"]
    assert "4x, missed" in lines[1]
    monkeypatch.setattr(goals_command.subprocess, "run", lambda command, check: type("Dead", (), {"returncode": -9}))
    assert main(["goals", "P3"]) == 1
    assert "ended with status -9" in capsys.readouterr().err


def test_goals_that_a_machine_cannot_measure_are_told_and_not_run(monkeypatch, capsys):
    monkeypatch.setattr(goals_command, "of_this_machine", lambda: ("two CPU cores",))
    dead = type("Dead", (), {"returncode": 1})
    monkeypatch.setattr(goals_command.subprocess, "run", lambda command, check: dead)
    assert main(["goals"]) == 1
    found = capsys.readouterr()
    lines = found.out.splitlines()
    assert len(lines) == len([goal for goal in GOALS if goal.id[0] in "GM"])
    assert lines[0].startswith("G1 LightGCN epoch")
    assert "not measured: needs one accelerator" in lines[0]
    assert "not measured: needs eight devices" in lines[-1]
    assert not any(name in found.err for name in NEEDS)
    assert main(["goals", "P1", "M2"]) == 2
    said = "bench goals: found 'M2', which needs eight devices, allowed: what two CPU cores can measure"
    assert capsys.readouterr().err.strip() == said


def test_goals_of_accelerators_are_measured_where_there_is_one(monkeypatch, capsys):
    asked = []

    def run(command, check):
        asked.append(command[command.index("run") + 1])
        return type("Dead", (), {"returncode": 1})

    monkeypatch.setattr(goals_command, "of_this_machine", lambda: ("one accelerator",))
    monkeypatch.setattr(goals_command.subprocess, "run", run)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    assert main(["goals"]) == 1
    assert asked == [*(name for name in NEEDS if NEEDS[name] == "one accelerator"), "seeds_at_once"]
    lines = capsys.readouterr().out.splitlines()
    assert "P1 LightGCN step" in lines[0]
    assert "not measured: needs two CPU cores" in lines[0]
    assert lines[-1].startswith("M4 ")


def test_all_workloads_are_those_that_the_machine_can_run(monkeypatch, capsys):
    entry = {"variants": {}, "checks": {}}
    monkeypatch.setattr("jaxrec.bench.measure.measure", lambda workload, settings: entry)
    for scale, names in (("full", WORKLOADS.keys() - NEEDS.keys()), ("small", WORKLOADS.keys())):
        assert main(["run", "all", "--scale", scale]) == 0
        assert set(capsys.readouterr().err.split()) == names


@pytest.mark.parametrize(
    ("kind", "count", "found"),
    [
        ("cpu", 1, ("two CPU cores",)),
        ("cpu", 8, ("two CPU cores",)),
        ("an accelerator", 4, ("one accelerator",)),
        ("an accelerator", 8, ("one accelerator", "eight devices")),
    ],
)
def test_what_a_machine_can_measure(kind, count, found):
    assert offers(kind, count) == found


def test_goals_that_are_none_are_the_users_mistake(capsys):
    assert main(["goals", "P17"]) == 2
    assert "'P17', allowed P1, P2" in capsys.readouterr().err


def test_the_figures_of_preparing_have_their_goals():
    goals = [goal for goal in GOALS if goal.workload == "data_prepare"]
    entry = {"variants": {}, "checks": {}, "seconds": 14.1, "peak_rss_mb": 5000.0}
    assert data_prepare.ROWS["full"] == 10_000_000
    assert [judge(goal, entry).verdict for goal in goals] == ["met, aim too", "missed"]

"""Rows that an agent refines: their run is shared, their numbers are those after it, a simulation is called one."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pytest

from jaxrec import launch
from jaxrec import study as command
from jaxrec.command_line import run_command
from jaxrec.config import Experiment, to_json
from jaxrec.data.text_config import TextConfig
from jaxrec.errors import UserError
from jaxrec.eval.config import EvalConfig
from jaxrec.models.popularity import PopularityConfig
from jaxrec.precompute.simulated_user.config import SimulatedUserConfig
from jaxrec.studies import Row, Study
from jaxrec.studies.cells import Overrides, distinct, make_cells
from jaxrec.studies.definition import check_study
from jaxrec.studies.markdown import as_markdown
from jaxrec.studies.outcome import collect
from jaxrec.studies.refined_runs import write_as_run
from jaxrec.studies.refining import refined_name, refining
from jaxrec.train.config import DevicesConfig
from tests.studies.making import LIGHTGCN, NUM_USERS, finish, study

AGENTS = ("identity", "random", "oracle", "llm")


def agent(name: Any = "llm", **changes):
    return SimulatedUserConfig(agent=name, top=10, **changes)


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("JAXREC_DATA", raising=False)


def popular():
    experiment = Experiment(
        PopularityConfig(),
        text=TextConfig(source="none"),
        eval=EvalConfig(k=(5, 10, 20)),
        devices=DevicesConfig(count=1),
    )
    rows = [Row(name, experiment, ("popularity",), refined=agent(name)) for name in AGENTS]
    return Study(
        name="agents",
        title="Agents",
        rows=(Row("popularity", experiment), *rows),
        columns=study().columns,
        seeds=(0,),
        metrics=("hit@10", "ndcg@10"),
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The command over a run that is done: only the agents are asked. 1,000 users; then again, with 50 of them."""
    folder = tmp_path_factory.mktemp("agents")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JAXREC_DATA", raising=False)
        patch.setenv("JAXREC_CACHE", str(folder / "cache"))
        patch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)
        patch.setattr("jaxrec.study.load_study", lambda path: popular())
        (cell,) = distinct(make_cells(popular(), Overrides()))
        config = folder / "popularity.json"
        config.write_text(json.dumps(to_json(cell.experiment)))
        runs = folder / "runs"
        assert run_command(launch.main, ["--config", str(config), "--workdir", str(runs / cell.folder_name)]) == 0
        arguments = ["agents.py", "--workdir", str(folder), "--runs", str(runs)]
        assert run_command(command.main, arguments) == 0
        found = json.loads((folder / "table.json").read_text()), (folder / "table.md").read_text()
        patch.setattr("jaxrec.study.load_study", lambda path: dataclasses.replace(popular(), rows=popular().rows[:2]))
        arguments = ["agents.py", "--workdir", str(folder / "some"), "--runs", str(runs)]
        assert run_command(command.main, [*arguments, "--refine.simulated-user.user-limit", "50"]) == 0
        some = json.loads((folder / "some" / "table.json").read_text())
    return *found, some, runs / cell.folder_name


def test_numbers_are_those_after_the_agent(table):
    record, page, _, run = table
    assert (record["missing"], record["failed"]) == ([], {})
    cells = {cell["row"]: cell for cell in record["cells"]}
    of = {row: cell["metrics"]["ndcg@10"]["mean"] for row, cell in cells.items()}
    assert of["random"] < of["identity"] < of["oracle"]
    written = [json.loads(path.read_text()) for path in run.glob("refinement-*.json")]
    records = {found["agent"]: found for found in written if found["num_users"] == 1000}
    assert set(records) == set(AGENTS)
    for name in AGENTS:
        assert of[name] == records[name]["after"]["ndcg@10"]
        told = cells[name]["runs"][0]["refined"]
        assert told["before"]["ndcg@10"] == pytest.approx(of["popularity"], rel=0.1)
    compared = {c["row"]: c for c in record["comparisons"] if c["metric"] == "ndcg@10"}
    assert compared["oracle"]["better"]
    assert compared["random"]["improvement_percent"] < 0
    assert "| oracle (a simulation) | 1 | 0." in page
    assert "| identity | 1 | " in page
    assert "oracle is a simulation: its agent reads what is to be predicted. It is no result." in page
    assert "the agent llm (rules" in page
    bold = next(line for line in page.splitlines() if line.startswith("| oracle"))
    assert "**" not in bold


def test_some_users_are_compared_with_themselves(table):
    record, _, some, _ = table
    told = {cell["row"]: cell["runs"][0] for cell in some["cells"]}["identity"]
    assert told["refined"]["num_users"] == 50
    same = next(c for c in some["comparisons"] if c["metric"] == "hit@10")
    # Ties apart, the order that stays is the run's: the same users have the same values.
    assert abs(same["improvement_percent"]) < 25
    assert any("its numbers are of 50 of 1,000 users" in note for note in some["notes"])
    first = {cell["row"]: cell["runs"][0] for cell in record["cells"]}
    assert first["identity"]["folder"] != told["folder"]


def test_a_row_shares_its_run_and_has_a_folder_in_it():
    cells = make_cells(popular(), Overrides())
    assert len({cell.folder_name for cell in cells}) == len(distinct(cells)) == 1
    assert len({cell.result_name for cell in cells}) == len(cells) == 5
    assert all(cell.refined is None for cell in distinct(cells))


def test_flags_reach_models_and_the_number_of_users_all(tmp_path):
    flags = ("--refine.backend", "local", "--refine.local.checkpoint", "x", "--refine.simulated-user.user-limit=7")
    model, oracle = refining(agent(), flags), refining(agent("oracle"), flags)
    assert (model.backend, model.simulated_user.user_limit, model.simulated_user.agent) == ("local", 7, "llm")
    assert (oracle.backend, oracle.simulated_user.user_limit, oracle.simulated_user.agent) == ("rules", 7, "oracle")
    assert refining(agent()).backend == "rules"
    replies = tmp_path / "feedback.jsonl"
    replies.write_text("")
    told = ("--refine.simulated-user.agent", "replay", "--refine.simulated-user.replies", str(replies))
    before = refined_name(refining(agent(), told))
    replies.write_text("\n")
    names = {before, refined_name(refining(agent(), told)), refined_name(model), refined_name(oracle)}
    assert len(names) == 4
    assert refined_name(refining(agent())) == refined_name(refining(agent()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protocol": "sampled99"}, ["row a: refined", "sampled99", "full ranking alone"]),
        ({"also": ("sampled99",)}, ["row a: refined", "full ranking alone"]),
        ({"part": "valid"}, ["part valid", "test"]),
        ({"metrics": ("hit@20",)}, ["metrics", "hit@20", "up to 10, of the 20 shown"]),
        ({"metrics": ("mrr@5",)}, ["metrics", "mrr@5", "hit, ndcg, recall"]),
        ({"rows": (Row("a", LIGHTGCN, refined=agent(candidates="x")),)}, ["candidates", "x"]),
        ({"rows": (Row("a", LIGHTGCN, refined=agent("replay")),)}, ["row a: refined", "replies"]),
    ],
)
def test_what_no_agent_could_do_is_told(changes, words):
    with pytest.raises(UserError) as error:
        check_study(study(**{"rows": (Row("a", LIGHTGCN, refined=agent()),), "metrics": ("ndcg@10",)} | changes))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_flags_without_an_agent_or_of_another_command_are_told():
    with pytest.raises(UserError, match=r"--refine\.backend: no row of study tiny is refined"):
        make_cells(study(), Overrides(refine=("--refine.backend", "rules")))
    with pytest.raises(UserError, match="no such flag"):
        refining(agent(), ("--refine.nonsense", "3"))
    with pytest.raises(UserError, match="no such flag"):
        refining(agent("oracle"), ("--refine.nonsense", "3"))


def test_tests_are_paired_over_users_whatever_their_order(tmp_path):
    """Planted: the agent lifts each user by the same amount, of half the users; another study's note says so."""
    rows = (Row("plain", LIGHTGCN), Row("agent", LIGHTGCN, ("plain",), refined=agent()))
    made = study(rows=rows, seeds=(0,), metrics=("recall@10", "ndcg@10"))
    plain, refined = make_cells(made, Overrides())
    values = np.random.default_rng(0).random(NUM_USERS) / 3
    finish(plain, tmp_path, values)
    some = np.random.default_rng(1).permutation(NUM_USERS)[: NUM_USERS // 2]
    after = {"recall@10": 2 * values[some], "ndcg@10": values[some] + 0.05}
    users = {"test/user_ids": np.asarray([f"user {i}" for i in some])}
    counts = dict.fromkeys(("asked", "parsed", "silent", "in_another_order", "unknown_names", "repeated"), len(some))
    record = {
        "agent": "llm", "answered_by": "rules", "template": "rank", "simulation": False, "top": 10, "candidates": 20,
        "num_users": len(some), "num_users_of_part": NUM_USERS, "before": {"ndcg@10": float(values[some].mean())},
        "after": {name: float(column.mean()) for name, column in after.items()}, "ceiling": {"hit@20": 0.5},
        "tests": {}, "counts": counts,
    }  # fmt: skip
    write_as_run(
        tmp_path / plain.folder_name,
        tmp_path / refined.result_name,
        record,
        users | {f"test/{name}": column for name, column in after.items()},
    )
    outcome = collect(made, [plain, refined], tmp_path, {})
    found = {c.metric: c for c in outcome.comparisons}
    assert found["ndcg@10"].improvement == pytest.approx(0.05 / values[some].mean())
    assert found["ndcg@10"].better
    assert found["recall@10"].improvement == pytest.approx(0)
    assert not outcome.simulates("agent")
    assert "its numbers are of 60 of 120 users" in as_markdown(outcome, None)
    assert outcome.first["sample"].folder == pathlib.Path(tmp_path / plain.folder_name)


def test_what_failed_is_told_and_the_rest_stands(tmp_path):
    rows = (Row("plain", LIGHTGCN), Row("agent", LIGHTGCN, ("plain",), refined=agent()))
    made = study(rows=rows, seeds=(0,), metrics=("ndcg@10",))
    plain, refined = make_cells(made, Overrides())
    finish(plain, tmp_path, np.full(NUM_USERS, 0.25))
    outcome = collect(made, [plain, refined], tmp_path, {refined.result_name: "no model"})
    assert outcome.missing == ("agent | sample | seed 0",)
    assert dict(outcome.failures) == {"agent | sample | seed 0": "no model"}
    assert outcome.systems["plain", "sample"].metrics["ndcg@10"].mean == 0.25

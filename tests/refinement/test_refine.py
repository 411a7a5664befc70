"""The simulated user in the loop of a finished run: who changes nothing, who helps, who hurts, and what is recorded."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from rich.console import Console

from jaxrec import launch, refine
from jaxrec.command_line import run_command
from jaxrec.errors import UserError
from jaxrec.refinement.lists import own_lists
from jaxrec.refinement.refine import default_config, refine_run

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Popularity on the sample: 1,000 users, lists of 20."""
    folder = tmp_path_factory.mktemp("refine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXREC_CACHE", str(folder / "cache"))
        patch.delenv("JAXREC_DATA", raising=False)
        patch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)
        config = str(CONFIGS / "popularity_amazon_book.py")
        arguments = ["--config", config, "--workdir", str(folder / "run"), "--devices.count", "1"]
        assert run_command(launch.main, [*arguments, "--eval.k", "5", "10", "20"]) == 0
        yield folder / "run"


def command(*arguments):
    return run_command(refine.main, [str(argument) for argument in arguments])


def refined(run, **changes):
    config = default_config(run)
    return refine_run(
        run, dataclasses.replace(config, simulated_user=dataclasses.replace(config.simulated_user, **changes))
    )


@pytest.fixture(scope="module")
def found(run):
    return {agent: refined(run, agent=agent, top=10) for agent in ("identity", "oracle", "random")}


def test_identity_changes_nothing_the_oracle_lifts_chance_hurts(found):
    same = found["identity"]
    assert same["before"] == same["after"]
    assert same["tests"]["hit@10"] | {"t_test": 1.0, "wilcoxon": 1.0, "difference": 0.0} == same["tests"]["hit@10"]
    before = found["oracle"]["before"]
    assert before == same["before"] == found["random"]["before"]
    oracle, chance = found["oracle"], found["random"]
    assert oracle["after"]["hit@10"] > 1.2 * before["hit@10"]
    assert oracle["tests"]["ndcg@10"]["t_test"] < 1e-6
    assert (oracle["simulation"], same["simulation"], chance["simulation"]) == (True, False, False)
    assert chance["after"]["ndcg@10"] < before["ndcg@10"]
    # Chance is what is expected of any order of the same candidates, up to which order it drew.
    assert chance["after"]["hit@10"] == pytest.approx(chance["reference"]["any_order"]["hit@10"], abs=0.03)
    for record in found.values():
        assert record["after"]["hit@10"] <= record["ceiling"]["hit@20"]
        assert record["num_users"] == record["num_users_of_part"] == 1000
        assert record["protocol"] == "multi_target_full"
        assert record["masked"] == ["train", "valid"]
        assert json.loads(pathlib.Path(record["path"]).read_text()) | {"path": record["path"]} == record


def test_before_is_what_the_run_says_of_itself(run, found):
    result = json.loads((run / "result.json").read_text())["protocols"]["full"]
    record = found["identity"]
    # Counts are tied here and there: the evaluator then says the worse, a list has some order.
    for name, value in record["before"].items():
        assert value == pytest.approx(result["test"][name], rel=0.1)
        assert value >= result["test"][name]
    assert record["reference"]["random"]["hit@10"] == pytest.approx(result["reference"]["random"]["hit@10"])
    assert record["reference"]["popularity"]["ndcg@5"] == pytest.approx(result["reference"]["popularity"]["ndcg@5"])


def test_lists_that_are_too_short_are_ranked_anew(run):
    from jaxrec.assembly import load_run

    loaded = load_run(run)
    short, long = (own_lists(run, loaded.experiment, loaded.dataset, count) for count in (20, 50))
    np.testing.assert_array_equal(short.user_ids, long.user_ids)
    np.testing.assert_array_equal(short.item_ids, long.item_ids[:, :20])
    with pytest.raises(UserError, match="more than the 600 items"):
        own_lists(run, loaded.experiment, loaded.dataset, 700)


def test_a_model_by_the_command_is_kept_and_replayed(run, capsys):
    arguments = ("--run", run, "--top", 5, "--users", 30)
    assert command(*arguments, "--backend", "rules", "--simulated-user.template", "rank") == 0
    printed = capsys.readouterr().out
    assert "30 of 1,000 users with a test target; masked: train, valid" in printed
    assert "multi_target_full" in printed
    assert "built-in sample" in printed
    assert "SIMULATION" not in printed
    path = pathlib.Path(printed.split("record")[-1].strip())
    record = json.loads(path.read_text())
    assert (record["agent"], record["answered_by"], record["template"]) == ("llm", "rules", "rank")
    assert record["counts"] | {"asked": 30, "parsed": 30, "silent": 0, "unknown_names": 0} == record["counts"]
    said = run / record["folder"] / "feedback.jsonl"
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    assert all(len(line["candidates"]) == 10 for line in lines)
    assert lines[0]["comments"].startswith("By rule")
    assert command(*arguments, "--agent", "replay", "--simulated-user.replies", said) == 0
    replayed = json.loads(pathlib.Path(capsys.readouterr().out.split("record")[-1].strip()).read_text())
    assert replayed["after"] == record["after"]
    assert replayed["counts"] == record["counts"]


def test_nonsense_and_silence_are_counted_and_leave_the_order(run, tmp_path):
    loaded = refined(run, agent="identity", top=5, user_limit=4)
    lines = [json.loads(line) for line in (run / loaded["folder"] / "feedback.jsonl").read_text().splitlines()]
    told = [["Nothing that exists", "", "<b>"], ["x"] * 50, [lines[2]["said"][9]] * 3]
    replies = tmp_path / "replies.jsonl"
    replies.write_text("\n".join(json.dumps(line | {"said": said}) for line, said in zip(lines, told, strict=False)))
    record = refined(run, agent="replay", top=5, user_limit=4, replies=str(replies))
    wanted = {
        "asked": 4,
        "parsed": 3,
        "silent": 1,
        "in_another_order": 1,
        "unknown_names": 53,
        "repeated": 2,
        "named": 1,
    }
    assert record["counts"] | wanted == record["counts"]
    assert record["after"]["hit@5"] <= record["ceiling"]["hit@10"]


def test_the_oracle_is_called_a_simulation_wherever_it_is_printed(found, capsys):
    refine.print_refinement(Console(width=160), found["oracle"])
    printed = capsys.readouterr().out
    assert "A SIMULATION: this agent reads what is to be predicted" in printed
    assert "after (simulated)" in printed
    assert "any order of these" in printed
    refine.print_refinement(Console(width=160), found["random"])
    assert "simulat" not in capsys.readouterr().out.lower().replace("simulated_user", "")


def test_a_plan_asks_nobody(run, capsys):
    assert command("--run", run, "--top", 5, "--users", 3, "--backend", "replay", "--plan") == 0
    assert "not in the cache" in capsys.readouterr().out


def test_mistakes_are_named(run, tmp_path, capsys):
    def refused(*arguments):
        assert command(*arguments) == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert "no such run folder" in refused("--run", tmp_path / "nowhere")
    assert "has not finished" in refused("--run", tmp_path)
    assert "top: found 0" in refused("--run", run, "--agent", "identity", "--top", 0)
    assert "user_limit" in refused("--run", run, "--agent", "identity", "--users", 0)
    assert "--agnt: no such flag" in refused("--run", run, "--agnt", "identity")
    assert "--agent" in refused("--run", run, "--agent", "nobody")
    assert "candidates" in refused("--run", run, "--simulated-user.candidates", "x")
    assert "data: found settings" in refused("--run", run, "--data.split", "leave_one_out")
    assert "more than the 600 items" in refused("--run", run, "--agent", "identity", "--top", 400)

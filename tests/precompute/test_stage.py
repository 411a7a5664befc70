"""The stage: outputs in folders named after what decides them, plans that hold, and the command around it."""

import contextlib
import dataclasses
import io
import json
import pathlib

import numpy as np
import pytest
from rich.console import Console

from jaxrec.data.config import DataConfig
from jaxrec.data.text import load_text
from jaxrec.data.text_config import TextConfig
from jaxrec.errors import UserError
from jaxrec.precompute.__main__ import main
from jaxrec.precompute.answering import Answering
from jaxrec.precompute.config import EmbeddingsConfig, MotivationsConfig, PrecomputeConfig
from jaxrec.precompute.display import Display
from jaxrec.precompute.motivation_schema import TYPICAL
from jaxrec.precompute.motivations import read_motivations
from jaxrec.precompute.openai_backend import OpenAIBackend
from jaxrec.precompute.openai_embeddings import OpenAIEmbeddings
from jaxrec.precompute.openai_settings import OpenAISettings
from jaxrec.precompute.prices import read_price
from jaxrec.precompute.registry import STEPS, load_step, steps_in_order
from jaxrec.precompute.requests import Failure, Reply, Vector
from jaxrec.precompute.stage import Stage
from jaxrec.precompute.token_counts import estimated_prompt_tokens, estimated_tokens
from tests.data.tiny_bert import write_encoder
from tests.precompute.shop import USERS, shop

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Hosted(OpenAIBackend):
    """Answers with a text that is like the typical one and says who was asked about; some keys fail the first time."""

    def __init__(self, failing=()):
        super().__init__(OpenAISettings())
        self.failing, self.asked = set(failing), []

    def ask(self, requests, on_result):
        for request in requests:
            self.asked.append((request.step, request.key))
            if (request.step, request.key) in self.failing:
                self.failing.discard((request.step, request.key))
                on_result(Failure(request.key, "it was down"))
                continue
            answer = TYPICAL | {"summary": f"{TYPICAL['summary']} {request.step} {request.key}"}
            text = json.dumps(answer)
            # Another tokenizer than ours counts a little more.
            counts = round(1.04 * estimated_prompt_tokens(request)), round(1.04 * estimated_tokens(text))
            cost = read_price(self.model).cost(*counts)
            on_result(Reply(request.key, text, *counts, cost_usd=cost))


class HostedEmbeddings(OpenAIEmbeddings):
    """A vector that says which text it is of."""

    def __init__(self):
        super().__init__(OpenAISettings())

    def embed(self, requests, on_results):
        price = read_price(self.model)
        for request in requests:
            tokens = estimated_tokens(request.text)
            values = np.full(request.width or 6, float(len(request.text)), np.float32)
            on_results([Vector(request.key, values, tokens, price.cost(tokens, 0))])


class Given(Answering):
    """Answering with backends that the test made."""

    def __init__(self, config, chat):
        super().__init__(config, {})
        self.__dict__ |= {"chat": chat, "embeddings": HostedEmbeddings()}


def stage_of(config, dataset, answering, names=("motivations", "embeddings"), log=None):
    display = Display(Console(file=log or io.StringIO(), width=200))
    return Stage(config, dataset, steps_in_order(names), answering, display)


def make(config, dataset=None, chat=None, names=("motivations", "embeddings")):
    """The outputs of a job by step. chat: a hosted backend; None for the rules."""
    rules = {name: rule for step in map(load_step, STEPS) for name, rule in step.rules.items()}
    with Answering(config, rules) if chat is None else Given(config, chat) as answering:
        return {output.step: output for output in stage_of(config, dataset or shop(), answering, names).run()}


@pytest.fixture
def config(tmp_path):
    def build(**changes):
        given = {"data": DataConfig(name="shop", reviews=True), "out": str(tmp_path / "out"), "name": "shop"}
        return PrecomputeConfig(**(given | {"backend": "rules"} | changes))

    return build


def same_hash(dataset, output):
    """The data set with the hash that the output is made for, as a run without reviews would load it."""
    return dataclasses.replace(dataset, sha256=output.manifest["dataset_sha256"])


# Outputs


def test_the_output_is_what_text_path_reads(config):
    dataset = shop()
    output = make(config(), dataset)["embeddings"]
    features = load_text(TextConfig(path=str(output.folder)), same_hash(dataset, output))
    assert features.user.shape[1] == features.item.shape[1]
    assert features.item_mask.all()
    assert features.user_mask.all()
    other = dataclasses.replace(dataset, sha256="7" * 64)
    with pytest.raises(UserError, match="another data set or split"):
        load_text(TextConfig(path=str(output.folder)), other)


def test_vectors_bring_users_near_what_they_will_choose(config):
    """Planted: each user's things of valid and test are of the user's own kind."""
    dataset = shop()
    output = make(config(), dataset)["embeddings"]
    features = load_text(TextConfig(path=str(output.folder)), same_hash(dataset, output))
    scores = features.user @ features.item.T
    for user in range(USERS):
        mine, others = (range(6), range(6, 12)) if user < USERS // 2 else (range(6, 12), range(6))
        unseen = [item for item in mine if item not in dataset.train.item_ids[dataset.train.user_ids == user]]
        assert len(unseen) == 2
        assert scores[user, unseen].min() > scores[user, list(others)].max()


def test_rows_follow_ids_and_what_is_missing_is_masked(config):
    dataset = shop()
    hosted = config(backend="openai", motivations=MotivationsConfig(item_limit=5, user_limit=3))
    output = make(hosted, dataset, Hosted())
    features = load_text(TextConfig(path=str(output["embeddings"].folder)), same_hash(dataset, output["embeddings"]))
    assert features.item_mask.tolist() == [True] * 5 + [False] * 7
    assert features.user_mask.tolist() == [True] * 3 + [False] * 5
    said = read_motivations(output["motivations"].folder, "item")
    assert list(said) == [f"thing {item}" for item in range(5)]
    assert features.item[:5, 0].tolist() == [len(said[raw]["summary"]) for raw in said]
    assert output["embeddings"].manifest["rows"]["item"]["missing_share"] == round(7 / 12, 6)
    assert output["embeddings"].manifest["model"] == "text-embedding-3-large"
    # Turned rows: the ids in the folder bring them back.
    turned = same_hash(dataset, output["embeddings"])
    raw = dataset.items.raw[::-1].copy()
    parts = {
        name: dataclasses.replace(getattr(turned, name), items=type(dataset.items)(raw))
        for name in ("train", "valid", "test")
    }
    other = load_text(TextConfig(path=str(output["embeddings"].folder)), dataclasses.replace(turned, **parts))
    np.testing.assert_array_equal(other.item, features.item[::-1])


def test_a_manifest_says_who_made_it_out_of_what(config):
    outputs = make(config())
    for name, output in outputs.items():
        manifest = json.loads((output.folder / "manifest.json").read_text())
        assert manifest == output.manifest
        assert manifest["step"] == name
        assert manifest["complete"] is True
        assert output.folder.name == f"{name}-{manifest['inputs_sha256'][:12]}"
        assert manifest["rows"]["user"]["missing_share"] == 0
        assert json.loads((output.folder / "usage.json").read_text())["cost_usd"] == 0
    assert sorted(outputs["motivations"].manifest["prompts"]) == ["item_motivations", "user_motivations"]
    assert outputs["embeddings"].manifest["needs"] == {"motivations": outputs["motivations"].folder.name}
    assert outputs["embeddings"].manifest["launch_flag"] == "--text.path"


def test_hosted_width_encoder_and_tfidf(config, tmp_path):
    hosted = make(config(backend="openai", embeddings=EmbeddingsConfig(dim=9)), chat=Hosted())
    assert hosted["embeddings"].manifest["dim"] == 9
    folder = write_encoder(tmp_path / "encoder")
    encoded = make(config(embeddings=EmbeddingsConfig(encoder=str(folder)), data=DataConfig(cache=str(tmp_path))))
    assert encoded["embeddings"].manifest["dim"] == 8
    assert encoded["embeddings"].manifest["model"] == "encoder"
    words = make(config(embeddings=EmbeddingsConfig(dim=4)))
    assert words["embeddings"].manifest["dim"] == 4
    with pytest.raises(UserError, match=r"embeddings\.min_df"):
        make(config(embeddings=EmbeddingsConfig(min_df=100)))


# Made once


def test_what_is_there_is_used_and_other_settings_have_other_folders(config):
    first, second = make(config()), make(config())
    assert [output.reused for output in (*first.values(), *second.values())] == [False, False, True, True]
    wider = make(config(embeddings=EmbeddingsConfig(dim=3)))
    assert [output.reused for output in wider.values()] == [True, False]
    assert wider["embeddings"].folder != first["embeddings"].folder
    fewer = make(config(motivations=MotivationsConfig(item_reviews=1)))
    assert not any(output.reused for output in fewer.values())
    other = make(config(), dataclasses.replace(shop(), sha256="6" * 64))
    assert not any(output.reused for output in other.values())


def test_equal_outputs_have_equal_hashes_however_often_they_were_asked(config, tmp_path):
    hashes = []
    for out in ("a", "b"):
        output = make(config(out=str(tmp_path / out)))["embeddings"]
        dataset = same_hash(shop(), output)
        hashes.append(load_text(TextConfig(path=str(output.folder)), dataset).sha256)
    assert hashes[0] == hashes[1]


def test_what_failed_is_asked_again_and_nothing_else_is(config):
    hosted = config(backend="openai")
    first = Hosted(failing=[("item_motivations", "4"), ("user_motivations", "1")])
    outputs = make(hosted, chat=first)
    assert not any(output.manifest["complete"] for output in outputs.values())
    assert outputs["motivations"].manifest["rows"]["item"]["failed"] == 1
    assert not load_features(outputs["embeddings"]).item_mask[4]
    second = Hosted()
    outputs = make(hosted, chat=second)
    # Users of item 4 are told of it now, so that their question is another one.
    assert ("item_motivations", "4") in second.asked
    assert [key for step, key in second.asked if step == "item_motivations"] == ["4"]
    assert all(output.manifest["complete"] for output in outputs.values())
    assert load_features(outputs["embeddings"]).item_mask.all()
    third = Hosted()
    assert all(output.reused for output in make(hosted, chat=third).values())
    assert third.asked == []


def load_features(output):
    return load_text(TextConfig(path=str(output.folder)), same_hash(shop(), output))


def test_nothing_is_left_of_a_run_that_was_broken_off_but_its_answers(config, tmp_path):
    class Broken(Hosted):
        def ask(self, requests, on_result):
            super().ask(requests[:5], on_result)
            raise KeyboardInterrupt

    hosted = config(backend="openai")
    with pytest.raises(KeyboardInterrupt):
        make(hosted, chat=Broken())
    assert list((tmp_path / "out" / "shop").iterdir()) == []
    again = Hosted()
    make(hosted, chat=again)
    assert len([key for step, key in again.asked if step == "item_motivations"]) == 12 - 5


def test_when_nothing_is_answered_the_user_learns_why(config):
    failing = [("item_motivations", str(item)) for item in range(12)]
    with pytest.raises(UserError, match="none of 12 item requests was answered: it was down"):
        make(config(backend="openai"), chat=Hosted(failing))
    bare = shop(texts=("",) * 12)
    parts = {name: dataclasses.replace(getattr(bare, name), reviews=None) for name in ("train", "valid", "test")}
    with pytest.raises(UserError, match="neither item text nor training reviews"):
        make(config(), dataclasses.replace(bare, reviews=None, **parts))


# Plans


def test_a_plan_is_within_a_tenth_of_what_is_then_counted(config):
    hosted, dataset = config(backend="openai"), shop()
    with Given(hosted, Hosted()) as answering:
        before = stage_of(hosted, dataset, answering).plan()
        assert not pathlib.Path(hosted.out, "shop").exists()
        outputs = stage_of(hosted, dataset, answering).run()
    paid = {output.step: json.loads((output.folder / "usage.json").read_text()) for output in outputs}
    for step, plan in before.items():
        assert plan is not None
        assert plan.requests == paid[step]["total"] == 12 + USERS
        assert plan.cost_usd == pytest.approx(paid[step]["cost_usd"], rel=0.1)
        assert plan.prompt_tokens == pytest.approx(paid[step]["prompt_tokens"], rel=0.1)


def test_a_replayed_run_costs_nothing_and_its_plan_says_what_was_paid(config, tmp_path):
    hosted = config(backend="openai")
    outputs = make(hosted, chat=Hosted())
    paid = json.loads((outputs["motivations"].folder / "usage.json").read_text())["cost_usd"]
    replay = config(backend="replay", out=str(tmp_path / "again"), answers=str(tmp_path / "out" / "answers.sqlite"))
    with Answering(replay, {}) as answering:
        plan = stage_of(replay, shop(), answering).plan()["motivations"]
        assert plan is not None
        assert (plan.requests, plan.cached, plan.cost_usd) == (12 + USERS, 12 + USERS, 0)
        assert plan.cached_cost_usd == pytest.approx(paid)
    again = make(replay)
    assert read_motivations(again["motivations"].folder, "user") == read_motivations(
        outputs["motivations"].folder, "user"
    )
    # The same model said it, whoever was asked: the same folder name, the same hash of the features.
    assert again["embeddings"].folder.name == outputs["embeddings"].folder.name


def test_finished_steps_are_planned_as_made(config):
    make(config())
    with Answering(config(), {}) as answering:
        assert stage_of(config(), shop(), answering).plan() == {"motivations": None, "embeddings": None}


# The command


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
        assert all(list(STEPS).index(need) < list(STEPS).index(name) for need in step.needs)
    assert [step.name for step in steps_in_order(["embeddings"])] == ["motivations", "embeddings"]

"""The stage: outputs in folders named after what decides them, made once, and plans that hold."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.text import load_text
from jaxrec.data.text_config import TextConfig
from jaxrec.errors import UserError
from jaxrec.precompute.answering import Answering
from jaxrec.precompute.config import EmbeddingsConfig, MotivationsConfig, PrecomputeConfig
from jaxrec.precompute.motivations import read_motivations
from tests.data.tiny_bert import write_encoder
from tests.precompute.hosted import Given, Hosted, make, stage_of
from tests.precompute.shop import USERS, shop


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
    assert {"item_motivations", "user_motivations"} <= set(outputs["motivations"].manifest["prompts"])
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


def test_a_plan_counts_all_texts_where_what_is_there_is_not_whole(config):
    hosted = config(backend="openai")
    make(hosted, chat=Hosted(failing=[("item_motivations", "4"), ("user_motivations", "1")]))
    with Given(hosted, Hosted()) as answering:
        plan = stage_of(hosted, shop(), answering).plan()["embeddings"]
    assert getattr(plan, "requests", None) == 12 + USERS


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


def test_a_plan_after_a_few_answers_knows_how_long_they_are_and_how_the_models_count(config):
    few = config(backend="openai", motivations=MotivationsConfig(item_limit=8, user_limit=8))
    whole, dataset = config(backend="openai"), shop()
    plans = {}
    for job in (few, whole):
        with Given(job, Hosted(wordy=True)) as answering:
            answering.embeddings.longer = 1.5
            stage = stage_of(job, dataset, answering)
            plans = stage.plan()
            stage.run()
    # A replayed run counts what both runs have paid for these answers.
    replay = config(backend="replay", answers=f"{whole.out}/answers.sqlite", out=f"{whole.out}/again")
    with Answering(replay, {}) as answering:
        for step, plan in stage_of(replay, dataset, answering).plan().items():
            assert plan.cached == plan.requests > 0
            assert plan.cached_cost_usd == pytest.approx(plans[step].cost_usd + plans[step].cached_cost_usd, rel=0.1)


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

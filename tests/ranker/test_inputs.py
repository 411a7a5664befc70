"""What examples are made of: sentiments, names, and summaries of users that are asked for, or not while planning."""

import dataclasses

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.errors import UserError
from jaxrec.eval.pools import Pools, write_pools
from jaxrec.models.sealr_config import CandidatesConfig, PromptConfig, TuningConfig
from jaxrec.precompute.requests import Answer, Failure, Plan
from jaxrec.ranker.inputs import inputs_identity, read_inputs
from tests.precompute.fake_job import FakeJob
from tests.precompute.shop import USERS, shop

DATA = shop()
PALR = PromptConfig(template="palr", items="names", sentiment=False)
WRITTEN = dataclasses.replace(PALR, summary="written")
SOME = np.array([4, 1], np.int32)


class Asked(FakeJob):
    """Answers every summary with two words, or fails in one way."""

    kind = None

    def ask(self, requests):
        self.asked += requests
        if self.kind is not None:
            return {one.key: Failure(one.key, "out of reach", self.kind) for one in requests}
        return {one.key: Answer(one.key, "", {"keywords": ["lamp", "wool"]}, 9, 2, 0.0, False) for one in requests}

    def plan(self, requests):
        return Plan(requests=len(requests))


@pytest.fixture
def folder(tmp_path):
    targets = np.full(USERS, -1, np.int32)
    targets[DATA.test.user_ids] = DATA.test.item_ids
    items = np.tile(np.arange(5, dtype=np.int32), (USERS, 1))
    no = np.zeros(USERS, bool)
    users = np.arange(USERS, dtype=np.int32)
    write_pools(tmp_path, Pools(users, targets, items, np.zeros(items.shape, np.float32), no, no, no), DATA)
    return tmp_path


def job(folder, prompt):
    return Asked(
        DATA, inputs={"candidates": folder}, data=DataConfig(), candidates=CandidatesConfig(count=5), prompt=prompt
    )


def test_examples_come_in_the_order_asked_for_with_counted_keywords(folder):
    made = job(folder, PALR)
    found = read_inputs(made).examples(SOME)
    assert [example.user for example in found] == [4, 1]
    assert all(sorted(example.candidates) == [0, 1, 2, 3, 4] for example in found)
    assert all(example.preference and not example.sentiments for example in found)
    assert "lamp" not in found[0].preference
    assert read_inputs(made).plan(SOME) == Plan()
    assert not made.asked


def test_summaries_are_asked_for_once_something_is_made_and_not_while_planning(folder):
    made = job(folder, WRITTEN)
    planned = read_inputs(made, planning=True)
    assert planned.plan(SOME).requests == 2
    assert "lamp" not in planned.examples(SOME)[0].preference
    assert not made.asked
    assert {example.preference for example in read_inputs(made).examples(SOME)} == {("lamp", "wool")}
    assert len(made.asked) == 2


def test_who_did_not_answer_is_asked_again_before_anything_is_made(folder):
    made = job(folder, WRITTEN)
    made.kind = "failed"
    with pytest.raises(UserError, match=r"prompt\.summary: 2 of 2 summaries were not answered \(out of reach\)"):
        read_inputs(made).examples(SOME)
    made.kind = "missing"
    assert all(example.preference for example in read_inputs(made).examples(SOME))


def test_the_identity_names_who_writes_summaries(folder):
    assert inputs_identity(job(folder, PALR))["summaries"] is None
    assert inputs_identity(job(folder, WRITTEN))["summaries"] == "test"


def test_absent_steps_are_named(folder):
    made = job(folder, PALR)
    made.inputs = {"candidates": None}
    with pytest.raises(UserError, match="steps: no output of candidates"):
        read_inputs(made)


def test_how_a_given_decoder_says_items_by_tokens_is_of_the_identity():
    def found(items, decoder):
        config = {"prompt": PromptConfig(items=items), "candidates": CandidatesConfig()}
        return inputs_identity(FakeJob(None, tuning=TuningConfig(decoder=decoder), **config))

    assert found("new_tokens", "some.gguf")["item_tokens"] == "spaced"
    for others in (("new_tokens", None), ("digits", "some.gguf"), ("names", "some.gguf")):
        assert "item_tokens" not in found(*others)

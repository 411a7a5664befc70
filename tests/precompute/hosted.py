"""Hosted models whose answers are given, and jobs that ask them."""

import io
import json

import numpy as np
from rich.console import Console

from jaxrec.precompute.answering import Answering
from jaxrec.precompute.display import Display
from jaxrec.precompute.motivation_schema import TYPICAL
from jaxrec.precompute.openai_backend import OpenAIBackend
from jaxrec.precompute.openai_embeddings import OpenAIEmbeddings
from jaxrec.precompute.openai_settings import OpenAISettings
from jaxrec.precompute.prices import read_price
from jaxrec.precompute.registry import STEPS, load_step, steps_in_order
from jaxrec.precompute.requests import Failure, Reply, Vector
from jaxrec.precompute.stage import Stage
from jaxrec.precompute.token_counts import estimated_prompt_tokens, estimated_tokens
from tests.precompute.shop import shop


class Hosted(OpenAIBackend):
    """Answers with a text that is like the typical one and says who was asked about; some keys fail the first time.

    wordy: a longer summary than the typical one.
    """

    def __init__(self, failing=(), wordy=False):
        super().__init__(OpenAISettings())
        self.failing, self.asked, self.words = set(failing), [], " indeed" * 60 * wordy

    def ask(self, requests, on_result):
        for request in requests:
            self.asked.append((request.step, request.key))
            if (request.step, request.key) in self.failing:
                self.failing.discard((request.step, request.key))
                on_result(Failure(request.key, "it was down"))
                continue
            answer = TYPICAL | {"summary": f"{TYPICAL['summary']} {request.step} {request.key}{self.words}"}
            text = json.dumps(answer)
            # Another tokenizer than ours counts a little more.
            counts = round(1.04 * estimated_prompt_tokens(request)), round(1.04 * estimated_tokens(text))
            cost = read_price(self.model).cost(*counts)
            on_result(Reply(request.key, text, *counts, cost_usd=cost))


class HostedEmbeddings(OpenAIEmbeddings):
    """A vector that says which text it is of. longer: how many tokens it counts for one of ours."""

    def __init__(self):
        super().__init__(OpenAISettings())
        self.longer = 1.0

    def embed(self, requests, on_results):
        price = read_price(self.model)
        for request in requests:
            tokens = round(self.longer * estimated_tokens(request.text))
            values = np.full(request.width or 6, float(len(request.text)), np.float32)
            on_results([Vector(request.key, values, tokens, price.cost(tokens, 0))])


class Given(Answering):
    """Answering with backends that the test made."""

    def __init__(self, config, chat):
        super().__init__(config, {})
        self.__dict__ |= {"chat": chat, "embeddings": HostedEmbeddings()}


def stage_of(config, dataset, answering, names=("motivations", "embeddings"), log=None):
    display = Display(Console(file=log or io.StringIO(), width=200))
    return Stage(config, dataset, steps_in_order(names, config), answering, display)


def make(config, dataset=None, chat=None, names=("motivations", "embeddings")):
    """The outputs of a job by step. chat: a hosted backend; None for the rules."""
    rules = {name: rule for step in map(load_step, STEPS) for name, rule in step.rules.items()}
    with Answering(config, rules) if chat is None else Given(config, chat) as answering:
        return {output.step: output for output in stage_of(config, dataset or shop(), answering, names).run()}

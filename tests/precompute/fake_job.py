"""A job for the tests of steps: a data set, a config, and a backend whose answers are given."""

from types import SimpleNamespace

from jaxrec.precompute.requests import Plan
from jaxrec.precompute.runner import Runner


class FakeJob:
    """config: the fields of a PrecomputeConfig that the step reads. backend: answers chats."""

    def __init__(self, dataset, backend=None, inputs=None, **config):
        self.dataset, self.inputs = dataset, inputs or {}
        self.config = SimpleNamespace(**config)
        self.backend_name, self.model = "test", "test"
        self.lines = []
        self.asked = []
        self._backend = backend

    def ask(self, requests):
        self.asked += requests
        return Runner(self._backend).ask(requests)

    def plan(self, requests):
        return Plan(requests=len(requests))

    def notice(self, line):
        self.lines.append(line)

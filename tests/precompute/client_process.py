"""One process that asks numbered requests; the tests start it, and kill it. Arguments: one JSON object."""

import json
import sys

from jaxrec.precompute.cache import Cache
from jaxrec.precompute.openai_backend import OpenAIBackend
from jaxrec.precompute.openai_settings import OpenAISettings
from jaxrec.precompute.requests import Answer
from jaxrec.precompute.runner import Runner
from tests.precompute.asking import requests

given = json.loads(sys.argv[1])
with Cache(given["cache"]) as cache:
    backend = OpenAIBackend(OpenAISettings(**given["settings"]), given["cache"], "job")
    answers = Runner(backend, cache, wait_seconds=0.05).ask(requests(given["count"]))
    backend.close()
values = {key: answer.value for key, answer in answers.items() if isinstance(answer, Answer)}
sys.stdout.write(json.dumps(values))

"""The workload of generation in its small size: both decoders give the same tokens, and not one over and over."""

import numpy as np
import pytest

from jaxrec.bench import generation
from jaxrec.bench.settings import Settings


@pytest.fixture(scope="module")
def report():
    return generation.run(Settings(repeats=1, scale="small"))


def test_small_run_reports_equal_tokens(report):
    assert report["checks"] == {"batch 1: same tokens": True, "batch 2: same tokens": True}
    names = {f"{name}, batch {size}" for name in (generation.OURS, generation.PEER) for size in (1, 2)}
    assert report["ratios"].keys() == {name for name in names if name.startswith(generation.PEER)}
    assert report["tokens_per_second"].keys() == report["share_of_bandwidth"].keys() == names
    reading = report["variants"].keys() - names
    assert reading == generation.readers(1 << 10).keys()
    median = report["variants"]["jaxrec, batch 2"]["median"]
    assert report["tokens_per_second"]["jaxrec, batch 2"] == pytest.approx(2 * 16 / median)
    limit = max(generation.PASSES * (1 << 20) / report["variants"][name]["median"] for name in reading)
    reached = generation.answer_bytes(generation.WORKLOADS["small"], 2) / median
    assert report["share_of_bandwidth"]["jaxrec, batch 2"]["median"] == pytest.approx(reached / limit)


def test_answers_are_of_many_tokens_and_differ_where_weights_do():
    workload = generation.WORKLOADS["small"]
    params = generation.random_params(workload.decoder)
    variants = generation.make_variants(workload, params)
    answers = variants["jaxrec, batch 2"]()
    assert np.shape(answers) == (2, 16)
    assert all(len(set(answer)) > 4 for answer in answers)
    assert generation.agreed({**variants, "transformers, batch 2": lambda: np.add(answers, [[0], [1]])}, 2) == 0.5


def test_bytes_of_an_answer_by_hand():
    full = generation.WORKLOADS["full"]
    # 134,515,008 parameters; two times 30 layers, three heads of 64, 96 tokens held on average.
    assert generation.answer_bytes(full, 8) == 64 * 4 * (134_515_008 + 2 * 30 * 3 * 64 * 8 * 96)

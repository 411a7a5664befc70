"""Settings of SEALR and PALR: their defaults, what they refuse, and which steps they ask for."""

import dataclasses

import pytest

from jaxrec.errors import UserError
from jaxrec.models.sealr_config import (
    CandidatesConfig,
    PALRConfig,
    PromptConfig,
    RankingConfig,
    SEALRConfig,
    TuningConfig,
)
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.registry import steps_in_order


def test_defaults_are_the_papers():
    sealr, palr = SEALRConfig(), PALRConfig()
    for config in (sealr, palr):
        config.validate()
        assert config.candidates.count == 50
        assert not config.candidates.inject_target
        lora = config.tuning.lora
        assert (lora.rank, lora.alpha, lora.dropout) == (8, 16.0, 0.05)
        assert lora.targets == ("attention/query", "attention/value")
    assert (sealr.tuning.share, palr.tuning.share) == (0.1, 0.2)
    assert (sealr.prompt.items, sealr.prompt.sentiment) == ("digits", True)
    assert (palr.prompt.template, palr.prompt.items, palr.prompt.sentiment) == ("palr", "names", False)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (CandidatesConfig(count=1), "candidates.count: found 1, allowed: 2 or more"),
        (PromptConfig(history=0), "prompt.history: found 0, allowed: 1 or more"),
        (PromptConfig(category="a, b"), "prompt.category: found 'a, b', allowed: words"),
        (PromptConfig(template="palr"), "prompt.sentiment: found on beside template palr"),
        (TuningConfig(share=0.6), "tuning.share: found 0.6, allowed: above 0, up to 0.5"),
        (TuningConfig(valid_share=0.0), "tuning.valid_share: found 0.0"),
        (TuningConfig(user_limit=1), "tuning.user_limit: found 1, allowed: 2 or more"),
        (TuningConfig(hidden_dim=36, num_heads=4), "tuning.num_heads: found 4"),
        (TuningConfig(learning_rate=float("inf")), "tuning.learning_rate: found inf, allowed: above 0"),
        (TuningConfig(devices=4, tensor_devices=3), "tuning.tensor_devices: found 3, allowed: divisors of devices, 4"),
        (RankingConfig(user_limit=0), "ranking.user_limit: found 0"),
        (RankingConfig(batch_size=0), "ranking.batch_size: found 0"),
    ],
)
def test_what_makes_no_sense_is_one_line(config, words):
    with pytest.raises(UserError) as caught:
        config.validate()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    field = words.partition(".")[0]
    with pytest.raises(UserError, match=rf"^model\.{field}\."):
        dataclasses.replace(SEALRConfig(), **{field: config}).validate()
    with pytest.raises(UserError, match=rf"^{field}\."):
        dataclasses.replace(PrecomputeConfig(), **{field: config}).validate()


def test_sentiment_is_made_where_prompts_tell_it():
    told, silent = PrecomputeConfig(), PrecomputeConfig(prompt=PromptConfig(sentiment=False))
    assert [step.name for step in steps_in_order(["ranking"], told)] == ["sentiment", "candidates", "tuning", "ranking"]
    assert [step.name for step in steps_in_order(["ranking"], silent)] == ["candidates", "tuning", "ranking"]
    assert [step.name for step in steps_in_order(["candidates"], told)] == ["candidates"]

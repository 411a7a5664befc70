"""Tuning of a tiny decoder and of adapters: what is learned, what a killed run goes on with, who may read it."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from jaxrec.data.dataset import Dataset
from jaxrec.errors import UserError
from jaxrec.eval.pools import Pools, write_pools
from jaxrec.llm.lora import LoRAConfig
from jaxrec.llm.packed_examples import Example
from jaxrec.models.sealr_config import CandidatesConfig, PromptConfig, RankingConfig, TuningConfig
from jaxrec.ranker import tuning_step
from jaxrec.ranker.tuned import given_decoder, read_tuned, tiny_decoder, write_tuned
from jaxrec.ranker.tuning import plan_work, tune
from jaxrec.ranker.tuning_step import STEP
from tests.data.making import interactions
from tests.llm.tiny_llama import CONFIG, write_folder
from tests.precompute.fake_job import FakeJob

TINY = TuningConfig(hidden_dim=16, num_layers=1, num_heads=2, epochs=3, batch_size=4, learning_rate=1e-2, row_tokens=32)
WORDS = ["alpha beta gamma", "one two three"]


class Killed(Exception):
    """What ends a run in these tests."""


def echoes(count, tokens=(270, 271, 272, 273), seed=0):
    """Examples whose answer is the prompt's last token again."""
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(tokens, rng.integers(2, 8)).tolist() for _ in range(count)]
    return [Example(prompt, [prompt[-1], 2]) for prompt in drawn]


def tuned_tiny(folder, tuning=TINY, notice=lambda line: None):
    start = tiny_decoder(tuning, WORDS, (), 64)
    return start, tune(start, echoes(21), echoes(5, seed=1), tuning, folder, notice)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody interrupts."""
    return tuned_tiny(tmp_path_factory.mktemp("tuning") / "unfinished")


def test_losses_fall_and_the_best_epoch_is_kept(whole):
    _, found = whole
    assert len(found.losses) == found.work.steps == 3 * 6
    assert len(found.valid_losses) == 4
    assert found.valid_losses[0] > 4
    assert found.valid_losses[found.best_epoch] == min(found.valid_losses[1:]) < found.valid_losses[0] - 1


def test_a_run_killed_twice_goes_on_to_the_last_bit(whole, tmp_path, monkeypatch):
    _, expected = whole
    monkeypatch.setattr("jaxrec.ranker.tuning._SAVE_SECONDS", 0.0)
    monkeypatch.setattr("jaxrec.ranker.tuning._TELL_SECONDS", 0.0)
    lines = []

    def killed_at(line):
        def notice(told):
            lines.append(told)
            if line in told:
                raise Killed

        return notice

    for line in ("step 8 of", "epoch 2 of 3: loss"):
        with pytest.raises(Killed):
            tuned_tiny(tmp_path, notice=killed_at(line))
    monkeypatch.undo()
    _, found = tuned_tiny(tmp_path, notice=lines.append)
    # Killed before what the line tells of was saved.
    resumed = [line for line in lines if "goes on" in line]
    assert resumed == [f"tuning: goes on after step {step} of 18" for step in (7, 11)]
    assert found.losses == expected.losses
    assert found.valid_losses == expected.valid_losses
    jax.tree.map(np.testing.assert_array_equal, found.trained, expected.trained)


def test_eight_devices_tune_what_one_does(whole, tmp_path):
    _, expected = whole
    _, found = tuned_tiny(tmp_path, dataclasses.replace(TINY, devices=8, tensor_devices=2))
    np.testing.assert_allclose(found.losses, expected.losses, rtol=2e-3)
    np.testing.assert_allclose(found.valid_losses, expected.valid_losses, rtol=2e-3)


def test_a_tiny_decoder_is_read_as_it_was_tuned(whole, tmp_path):
    start, found = whole
    write_tuned(tmp_path, start, found.trained)
    read = read_tuned(tmp_path, None)
    assert read.config == start.config
    assert read.adapters is None
    assert read.tokenizer.stop_tokens == (2,)
    assert read.tokenizer.encode(" alpha one 12") == start.tokenizer.encode(" alpha one 12")
    jax.tree.map(np.testing.assert_array_equal, read.params, found.trained["weights"])
    with pytest.raises(UserError, match="a whole tiny decoder; allowed: None"):
        read_tuned(tmp_path, "elsewhere")


def base_model(folder, seed=0):
    from tests.llm.tiny_llama import tensors

    config = CONFIG | {"tie_word_embeddings": bool(seed), "eos_token_id": 2}
    write_folder(folder, config, tensors(config, seed))
    made = Tokenizer(models.WordLevel({f"w{n}": n for n in range(38)} | {"<unk>": 38}, unk_token="<unk>"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.WhitespaceSplit(), decoders.Fuse()
    made.save(str(folder / "tokenizer.json"))
    return str(folder)


def test_adapters_and_new_tokens_are_read_beside_their_model_alone(tmp_path):
    decoder, other = base_model(tmp_path / "base"), base_model(tmp_path / "other", seed=1)
    tuning = dataclasses.replace(TINY, decoder=decoder, lora=LoRAConfig(rank=2, dropout=0.1), epochs=1)
    start = given_decoder(tuning, ("<item_1>", "<item_2>", "<item_3>"))
    assert (start.first_new, start.config.vocab_size) == (39, 64)
    examples = echoes(8, tokens=(3, 39, 40, 41))
    found = tune(start, examples[:7], examples[7:], tuning, tmp_path / "unfinished", lambda line: None)
    folder = tmp_path / "tuned"
    write_tuned(folder, start, found.trained)
    read = read_tuned(folder, decoder)
    assert read.tokenizer.encode("w3 <item_2>") == [3, 40]
    np.testing.assert_array_equal(read.params["embed"]["embedding"][39:42], found.trained["rows"]["embedding"])
    np.testing.assert_array_equal(read.params["embed"]["embedding"][:39], start.frozen["embed"]["embedding"][:39])
    a = found.trained["adapters"]["layers"]["attention"]["query"]
    scaled = read.adapters["layers"]["attention"]["query"]
    np.testing.assert_array_equal(scaled["a"], a["a"])
    np.testing.assert_allclose(scaled["b"], tuning.lora.scale * a["b"])
    assert np.abs(a["b"]).max() > 0
    with pytest.raises(UserError, match=r"the adapters in .* were trained on another model; allowed: base \("):
        read_tuned(folder, other)
    with pytest.raises(UserError, match=r"tuning.decoder: found none beside the adapters"):
        read_tuned(folder, None)
    told = json.loads((folder / "tuning.json").read_text())
    apart = [text.strip() for text in told["new_tokens"]]
    (folder / "tuning.json").write_text(json.dumps(told | {"new_tokens": apart}))
    with pytest.raises(UserError, match="a token <item_1> for an item, which says it without the blank before it"):
        read_tuned(folder, decoder)


def test_a_plan_counts_rows_and_steps():
    examples = [Example([1] * 10, [2] * 5)] * 9
    work = plan_work(examples, dataclasses.replace(TINY, batch_size=4, epochs=2, micro_batches=2), data_devices=2)
    # Four examples of 15 tokens, two in a row of 32, are two rows: one a micro-batch, of which two devices take two.
    assert (work.examples, work.tokens, work.steps) == (9, 135, 6)
    assert tuple(work.shape) == (2, 2, 32, 16)
    assert plan_work([Example([1] * 50, [2])], TINY).shape.width == 64


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    start = tiny_decoder(TINY, WORDS, (), 64)
    start.trained["weights"] = jax.tree.map(lambda leaf: leaf * np.nan, start.trained["weights"])
    with pytest.raises(UserError, match=r"loss of the validation examples is nan; a smaller tuning.learning_rate"):
        tune(start, echoes(21), echoes(5, seed=1), TINY, tmp_path, lambda line: None)


# The step


def shop_job(tmp_path, **changes):
    """Forty users of twelve items; pools of six hold both of a tuning user's targets."""
    rng = np.random.default_rng(3)
    raw = [f"user {n}" for n in range(40)], [f"thing {n}" for n in range(12)]
    chosen = np.array([rng.permutation(12)[:8] for _ in range(40)])

    def part(columns, time):
        pairs = [(user, int(chosen[user, column])) for user in range(40) for column in columns]
        return interactions(pairs, times=[time + column for _ in range(40) for column in columns], raw=raw)

    dataset = Dataset("shop", "path", part([0, 1, 2], 0), part([3], 0), part([4], 0), "5" * 64, {})
    folder = tmp_path / "candidates-1"
    folder.mkdir()
    none, items = np.zeros(40, bool), chosen[:, 3:].astype(np.int32)
    scores = np.zeros(items.shape, np.float32)
    write_pools(folder, Pools(np.arange(40, dtype=np.int32), items[:, 1], items, scores, none, none, none), dataset)
    prompt = PromptConfig(sentiment=False, max_tokens=256, **changes)
    tuning = dataclasses.replace(TINY, share=0.5, row_tokens=256, epochs=1, valid_share=0.2)
    return FakeJob(
        dataset,
        inputs={"candidates": folder},
        candidates=CandidatesConfig(),
        prompt=prompt,
        tuning=tuning,
        ranking=RankingConfig(),
        data=None,
    )


def test_the_step_writes_a_model_and_what_it_took(tmp_path):
    job, folder = shop_job(tmp_path), tmp_path / ".writing"
    folder.mkdir()
    (line,) = STEP.plan(job).notes
    assert line.startswith("tuning: 16 examples with ")
    made = STEP.run(job, folder)
    assert made.rows == {"user": {"rows": 20, "present": 20}}
    counts = made.extra["counts"]
    assert (counts["tuning_users"], counts["validation_users"], counts["steps"]) == (16, 4, 4)
    assert counts["valid_loss"] < counts["valid_loss_before"] - 0.1
    assert 0 < counts["row_filled_share"] <= 1
    losses = json.loads((folder / "losses.json").read_text())
    assert losses["best_epoch"] == 1
    assert len(losses["loss"]) == 4
    assert set(json.loads((folder / "times.json").read_text())) == {"seconds", "users", "device"}
    assert read_tuned(folder, None).config.num_layers == 1
    assert not list(tmp_path.glob(".unfinished*"))


def test_the_same_examples_are_learnt_from_once(tmp_path, monkeypatch):
    job, first, second = shop_job(tmp_path), tmp_path / "tuning-1", tmp_path / ".writing"
    first.mkdir()
    second.mkdir()
    made = STEP.run(job, first)
    manifest = {"complete": True, **made.extra}
    (first / "manifest.json").write_text(json.dumps({**manifest, "complete": False}))
    # Pools of other users may differ; what is learnt is the same.
    job.inputs = {"candidates": (tmp_path / "candidates-1").rename(tmp_path / "candidates-2")}
    monkeypatch.setattr(tuning_step, "tune", None)
    with pytest.raises(TypeError):  # what is not whole is not taken
        STEP.run(job, second)
    (first / "manifest.json").write_text(json.dumps(manifest))
    again = STEP.run(job, second)
    assert again.extra == made.extra
    assert job.lines[-1] == f"tuning: the examples are those of {first}, whose model is taken"
    names = sorted(path.name for path in first.iterdir() if path.name != "manifest.json")
    assert sorted(path.name for path in second.iterdir()) == names
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    job.config.tuning = dataclasses.replace(job.config.tuning, learning_rate=1e-3)
    with pytest.raises(TypeError):
        STEP.run(job, second)


def test_other_settings_are_another_step_and_a_plan_without_pools_says_so(tmp_path):
    job = shop_job(tmp_path)
    first = json.dumps(STEP.identity(job), sort_keys=True)
    job.config.tuning = dataclasses.replace(job.config.tuning, devices=8)
    assert json.dumps(STEP.identity(job), sort_keys=True) == first
    job.config.tuning = dataclasses.replace(job.config.tuning, seed=1)
    assert json.dumps(STEP.identity(job), sort_keys=True) != first
    job.inputs = {"candidates": None}
    assert STEP.plan(job).notes == ("tuning: counted when what it needs is made",)

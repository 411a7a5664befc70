"""What a run of SEALR is told before it starts, and what its folders must be."""

import dataclasses
import pathlib

import numpy as np
import pytest
from rich.console import Console

from jaxrec.config import load_config
from jaxrec.errors import UserError
from jaxrec.eval.rankings import Rankings, write_rankings
from jaxrec.models.sealr_config import SEALRConfig
from jaxrec.precompute.display import Display
from jaxrec.ranker.prepare import prepare, stage_config
from jaxrec.rankings import load_rankings, with_absolute_paths, with_rankings
from tests.eval.given import build_dataset

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture
def experiment():
    return load_config(CONFIGS / "sealr_sample.py")


def changed(experiment, section, **values):
    part = dataclasses.replace(getattr(experiment.model, section), **values)
    return dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, **{section: part}))


def refused(experiment):
    def train(*_):
        raise AssertionError("trained before the settings were looked at")

    with pytest.raises(UserError) as found:
        prepare(experiment, CONFIGS, train, Display(Console(quiet=True)))
    return str(found.value)


def test_what_is_missing_is_told_before_anything_is_trained(experiment):
    assert "model.tuning.decoder: nowhere does not exist" in refused(changed(experiment, "tuning", decoder="nowhere"))
    missing = changed(experiment, "sentiment", source="lexicon", lexicon="no/lexicon")
    assert "model.sentiment.lexicon: no/lexicon" in refused(missing)
    assert "model.candidates.retriever: found none" in refused(changed(experiment, "candidates", retriever_config=""))
    itself = changed(experiment, "candidates", retriever_config="configs/sealr_sample.py")
    assert "is of sealr, which needs one itself" in refused(itself)
    assert "no such config file" in refused(changed(experiment, "candidates", retriever_config="other/sasrek.py"))


def test_the_retriever_runs_on_the_runs_own_data_and_seed(experiment, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # the config is found beside the one that names it
    given = dataclasses.replace(
        experiment, seed=7, data=dataclasses.replace(experiment.data, name="mine", reviews=True)
    )
    seen = []

    def train(retrieving, parent):
        seen.append((retrieving, parent))
        raise UserError("enough")

    with pytest.raises(UserError, match="enough"):
        prepare(given, CONFIGS, train, Display(Console(quiet=True)))
    ((retrieving, parent),) = seen
    assert (retrieving.model.name, retrieving.name, retrieving.seed) == ("sasrec", "sasrec_sample", 7)
    assert retrieving.data == dataclasses.replace(given.data, reviews=False)
    assert parent == pathlib.Path("precomputed/sealr_sample")


def test_the_stage_is_told_what_the_run_says(experiment):
    config = stage_config(dataclasses.replace(experiment, seed=2), "runs/retriever")
    assert config.steps == ("ranking",)
    assert config.tuning == dataclasses.replace(experiment.model.tuning, seed=2)
    assert config.candidates.retriever == "runs/retriever"
    assert (config.prompt, config.ranking) == (experiment.model.prompt, experiment.model.ranking)
    assert not config.data.reviews  # stars tell the sentiments
    config.validate()
    told_from_text = changed(experiment, "sentiment", lexicon="vader")
    assert stage_config(told_from_text, "runs/retriever").data.reviews
    unread = changed(told_from_text, "prompt", sentiment=False)
    assert not stage_config(unread, "runs/retriever").data.reviews


def test_lists_have_the_length_that_the_config_says(tmp_path):
    pairs = [(user, item) for user in range(4) for item in range(3)]
    dataset = build_dataset(4, 9, (pairs, [], []))
    lists = np.array([[4, 5, 6], [7, 8, -1]], np.int32)
    found = Rankings(np.array([1, 3], np.int32), lists, np.array([3, 2]), lists.astype(float), np.array([True, False]))
    write_rankings(tmp_path, found, dataset)
    (tmp_path / "manifest.json").write_text(f'{{"dataset_sha256": "{dataset.sha256}"}}')
    config = SEALRConfig(rankings=str(tmp_path))
    with pytest.raises(UserError, match=r"ranks 3 candidates, but model.candidates.count is 50"):
        load_rankings(config, dataset)
    three = dataclasses.replace(config, candidates=dataclasses.replace(config.candidates, count=3))
    read = load_rankings(three, dataset)
    assert read is not None
    np.testing.assert_array_equal(read.table(4), [[-1] * 3, [4, 5, 6], [-1] * 3, [7, 8, -1]])
    with pytest.raises(UserError, match=r"model.rankings: found none"):
        load_rankings(SEALRConfig(), dataset)


def test_paths_are_absolute_and_pools_are_those_of_the_lists(experiment, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    model = with_absolute_paths(changed(experiment, "tuning", decoder="smol").model)
    assert model.tuning.decoder == str(tmp_path / "smol")
    assert model.out == str(tmp_path / "precomputed")
    assert model.rankings is None
    found = with_rankings(experiment, pathlib.Path("made"))
    assert found.eval.pools == found.model.rankings == str(tmp_path / "made")
    own = dataclasses.replace(experiment, eval=dataclasses.replace(experiment.eval, pools="pools"))
    assert with_rankings(own, pathlib.Path("made")).eval.pools == "pools"

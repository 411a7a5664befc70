"""`export_items`: a run's vectors as features of another run, by raw ids, and never beside another split."""

import json

import numpy as np
import pytest

from jaxrec import export_items, launch
from jaxrec.command_line import run_command
from jaxrec.config.flags import override
from jaxrec.config.load import load_config
from jaxrec.data.item_features import load_item_features
from jaxrec.data.item_features_config import ItemFeaturesConfig
from jaxrec.data.prepared import load_dataset
from jaxrec.errors import UserError
from jaxrec.serve.recommender import Recommender

CONFIG = """
from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.item_features_config import ItemFeaturesConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.{module} import {name}
from jaxrec.train.config import DevicesConfig, TrainConfig


def get_config():
    return Experiment(
        {name}({options}),
        DataConfig(path={data!r}, split="ratio"),
        features=ItemFeaturesConfig(paths=({features!r},)),
        train=TrainConfig(epochs=1, eval_every=1, batch_size=64, monitor="recall@3"),
        eval=EvalConfig(k=(3,), save_topk=5),
        devices=DevicesConfig(count=1),
    )
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of MCLN, the folder of its item vectors, and how its config is written."""
    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    pairs = sorted({(f"user {u}", f"item {i}") for u, i in rng.integers(0, (12, 15), (120, 2))})
    (folder / "my.csv").write_text("user,item\n" + "".join(f"{u},{i}\n" for u, i in pairs))
    num_items = len({item for _, item in pairs})
    np.save(folder / "image.npy", rng.normal(size=(num_items, 6)).astype(np.float32))
    written = {"data": str(folder / "my.csv"), "features": f"image={folder / 'image.npy'}"}
    config = folder / "mcln_my.py"
    options = "dim=4, num_layers=1, num_blocks=1"
    config.write_text(CONFIG.format(module="mcln", name="MCLNConfig", options=options, **written))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXREC_CACHE", str(folder / "cache"))
        patch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)
        assert run_command(launch.main, ["--config", str(config), "--workdir", str(folder / "run")]) == 0
        out = folder / "backbone"
        assert run_command(export_items.main, ["--run", str(folder / "run"), "--out", str(out)]) == 0
        yield folder / "run", out, config


def test_the_folder_holds_the_vectors_that_rank_by_raw_id(finished):
    folder, out, config = finished
    recommender = Recommender.from_run(folder)
    experiment = load_config(config)
    dataset = load_dataset(experiment.data, lambda _: None)
    features = load_item_features(ItemFeaturesConfig(paths=(f"backbone={out}",)), dataset)
    assert features.vectors["backbone"].shape == (dataset.num_items, 4)
    assert features.masks["backbone"].all()
    raw = str(dataset.items.raw[3])
    unit = features.vectors["backbone"] / np.linalg.norm(features.vectors["backbone"], axis=1, keepdims=True)
    cosines = np.delete(unit @ unit[3], 3)
    for item, cosine in recommender.similar_items(raw, 3):
        np.testing.assert_allclose(unit[dataset.items.encode([item])[0]] @ unit[3], cosine, rtol=1e-4)
        assert cosine >= np.sort(cosines)[-3] - 1e-6
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["trained_on"] == dataset.sha256
    assert manifest["model"] == "mcln"


def test_vectors_of_another_split_are_refused(finished):
    _, out, config = finished
    experiment = override(load_config(config), ["--data.split-seed", "7"])
    other = load_dataset(experiment.data, lambda _: None)
    with pytest.raises(UserError, match=r"backbone: found vectors of a model trained on .* another split"):
        load_item_features(ItemFeaturesConfig(paths=(f"backbone={out}",)), other)


def test_mistakes_are_told_in_one_line(finished, tmp_path, capsys):
    folder, out, _ = finished
    for arguments, message in (
        (["--run", str(tmp_path / "no"), "--out", str(tmp_path / "new")], "no such run folder"),
        (["--run", str(folder), "--out", str(out)], "already there"),
        (["--run", str(folder)], "--out"),
    ):
        assert run_command(export_items.main, arguments) == 2
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("jaxrec: error:")]
        assert len(errors) == 1
        assert message in errors[0]

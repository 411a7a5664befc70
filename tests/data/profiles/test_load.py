"""Profiles as runs read them: made or given, standardised, of the same split, in the hash and in the context."""

import dataclasses
import json

import numpy as np
import pytest

from jaxrec.assembly import absolute_paths, assemble, load_run
from jaxrec.config import Experiment, from_json, to_json
from jaxrec.config.checks import validate
from jaxrec.data.config import DataConfig
from jaxrec.data.prepared import load_dataset
from jaxrec.data.profiles.build import build_profiles
from jaxrec.data.profiles.config import UserProfilesConfig
from jaxrec.data.profiles.files import write_profiles
from jaxrec.data.profiles.load import load_profiles, standardised
from jaxrec.data.profiles.table import NumberField, field_of, join
from jaxrec.errors import UserError
from jaxrec.eval.config import EvalConfig
from jaxrec.models.popularity import PopularityConfig
from jaxrec.train.config import DevicesConfig, TrainConfig
from tests.data.making import interactions


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder of interactions, and the config of its data."""
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    folder = tmp_path / "shop"
    folder.mkdir()
    rows = [f"u{u},i{i},{10 * u + i}" for u in range(8) for i in range(10) if (u + i) % 4]
    (folder / "interactions.csv").write_text("user,item,timestamp\n" + "\n".join(rows) + "\n")
    return DataConfig(path=str(folder), cache=str(tmp_path / "cache"))


def profiles_folder(folder, dataset, manifest=None, cities=("Ulm", "Bonn", None, "Ulm", None, "Ulm", "Bonn", "Ulm")):
    folder.mkdir(exist_ok=True)
    places = dataset.users.encode([f"u{n}" for n in range(8)])
    height = np.empty(8)
    height[places] = [1, 2, np.nan, 3, 4, np.nan, 5, 6]
    said = [None] * 8
    for place, city in zip(places.tolist(), cities, strict=True):
        said[place] = city
    table = join([field_of("city", "asked", said), (NumberField("height", "asked"), height)], 8)
    write_profiles(folder, table, dataset.users)
    if manifest is not None:
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return str(folder)


def test_numbers_get_mean_0_and_deviation_1_and_unknown_ones_0():
    values, known = standardised(np.asarray([2.0, np.nan, 4.0, 9.0]))
    assert known.tolist() == [True, False, True, True]
    assert values.dtype == np.float32
    assert values[1] == 0
    np.testing.assert_allclose(values[known], (np.asarray([2, 4, 9]) - 5) / np.std([2, 4, 9]), rtol=1e-6)
    # Large ones do not overflow, equal ones tell nothing, none is none.
    np.testing.assert_allclose(standardised(np.asarray([1e300, -1e300]))[0], [1, -1])
    assert standardised(np.full(3, 0.1))[0].tolist() == [0, 0, 0]
    assert standardised(np.zeros(3))[0].tolist() == [0, 0, 0]
    assert standardised(np.full(2, np.nan))[0].tolist() == [0, 0]


def test_without_a_path_they_are_made_of_the_sample_or_of_the_training_part(shop):
    sample = load_dataset(DataConfig())
    found = load_profiles(UserProfilesConfig(), DataConfig(), sample)
    assert list(found.codes)[:5] == ["gender", "age", "occupation", "location", "income"]
    np.testing.assert_array_equal(found.table.codes, build_profiles(DataConfig(), sample).codes)
    dataset = load_dataset(shop)
    mined = load_profiles(UserProfilesConfig(), shop, dataset)
    assert mined.sizes == {"activity": 4, "popularity_affinity": 4}
    assert (mined.source, mined.checked, mined.num_unknown) == ("made", True, 0)
    assert load_profiles(UserProfilesConfig(source="none"), shop, dataset) is None
    # Held-out parts tell nothing.
    swapped = dataclasses.replace(dataset, valid=dataset.test, test=dataset.valid)
    assert load_profiles(UserProfilesConfig(), shop, swapped).sha256 == mined.sha256
    less = dataclasses.replace(dataset, train=dataset.train.take(np.arange(len(dataset.train)) > 4))
    assert load_profiles(UserProfilesConfig(), shop, less).sha256 != mined.sha256


def test_a_folder_is_read_and_its_content_is_the_hash(tmp_path, shop):
    dataset = load_dataset(shop)
    path = profiles_folder(tmp_path / "made", dataset)
    found = load_profiles(UserProfilesConfig(path), shop, dataset)
    assert (found.source, found.checked, found.num_unknown) == ("given", False, 1)
    assert found.codes["city"].tolist() == [{"Ulm": 2, "Bonn": 1, None: 0}[c] for c in _cities(dataset)]
    assert found.number_masks["height"].sum() == 6
    moved = profiles_folder(tmp_path / "elsewhere", dataset)
    assert load_profiles(UserProfilesConfig(moved), shop, dataset).sha256 == found.sha256
    other = profiles_folder(tmp_path / "other", dataset, cities=("Bonn",) * 8)
    assert load_profiles(UserProfilesConfig(other), shop, dataset).sha256 != found.sha256


def _cities(dataset):
    of = dict(zip([f"u{n}" for n in range(8)], ("Ulm", "Bonn", None, "Ulm", None, "Ulm", "Bonn", "Ulm"), strict=True))
    return [of[raw] for raw in dataset.users.raw.tolist()]


def test_profiles_of_another_split_are_refused(tmp_path, shop):
    dataset = load_dataset(shop)
    path = profiles_folder(tmp_path / "made", dataset, {"dataset_sha256": dataset.sha256})
    assert load_profiles(UserProfilesConfig(path), shop, dataset).checked
    other = load_dataset(dataclasses.replace(shop, split_seed=1))
    with pytest.raises(UserError, match=r"profiles are of another data set or split .* may tell of test items"):
        load_profiles(UserProfilesConfig(path), shop, other)
    (tmp_path / "made" / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest.json: line 1: not JSON"):
        load_profiles(UserProfilesConfig(path), shop, dataset)


def test_folders_that_tell_nothing_are_refused(tmp_path, shop):
    dataset = load_dataset(shop)
    with pytest.raises(UserError, match="not a whole table of profiles"):
        load_profiles(UserProfilesConfig(str(tmp_path / "nowhere")), shop, dataset)
    strangers = interactions([(0, 0)], raw=(["x"], ["a"])).users
    write_profiles(tmp_path, join([field_of("city", "x", ["Ulm"])], 1), strangers)
    with pytest.raises(UserError, match="none of its 1 users"):
        load_profiles(UserProfilesConfig(str(tmp_path)), shop, dataset)
    write_profiles(tmp_path, join([], dataset.num_users), dataset.users)
    with pytest.raises(UserError, match="no field in it"):
        load_profiles(UserProfilesConfig(str(tmp_path)), shop, dataset)


def experiment(shop, **profiles):
    return Experiment(
        model=PopularityConfig(),
        data=shop,
        profiles=UserProfilesConfig(**profiles),
        train=TrainConfig(monitor="ndcg@5"),
        eval=EvalConfig(k=(5,), save_topk=5),
        devices=DevicesConfig(count=1),
        name="test",
    )


def test_settings_that_contradict_each_other_are_refused(shop, monkeypatch):
    with pytest.raises(UserError, match=r"profiles.path: given, but model popularity reads none"):
        validate(experiment(shop, path="x"))
    monkeypatch.setattr(PopularityConfig, "needs_profiles", True, raising=False)
    validate(experiment(shop, path="x"))
    with pytest.raises(UserError, match=r"profiles.source: found none beside profiles.path"):
        validate(experiment(shop, path="x", source="none"))
    with pytest.raises(UserError, match=r"profiles.path: found ''"):
        validate(experiment(shop, path=""))


def test_the_context_holds_them_and_the_hash_covers_them(tmp_path, shop, monkeypatch):
    plain = assemble(experiment(shop), lambda line: None)
    assert plain.profiles is None
    assert plain.ctx.user_fields is None
    monkeypatch.setattr(PopularityConfig, "needs_profiles", True, raising=False)
    without = assemble(experiment(shop, source="none"), lambda line: None)
    assert without.ctx.user_fields == without.ctx.user_numbers == without.ctx.user_number_masks == {}
    mined = assemble(experiment(shop), lambda line: None)
    assert mined.ctx.user_field_sizes == (4, 4)
    path = profiles_folder(tmp_path / "made", mined.dataset)
    given = assemble(experiment(shop, path=path), lambda line: None)
    assert given.ctx.user_field_sizes == (3,)
    assert given.ctx.user_fields["city"].dtype == np.int32
    np.testing.assert_array_equal(given.ctx.user_numbers["height"], given.profiles.numbers["height"])
    assert given.ctx.user_number_masks["height"].sum() == 6
    assert len({one.hash for one in (plain, without, mined, given)}) == 4
    moved = profiles_folder(tmp_path / "elsewhere", mined.dataset)
    assert assemble(experiment(shop, path=moved), lambda line: None).hash == given.hash


def test_a_relative_path_is_made_absolute_and_survives_the_record(tmp_path, monkeypatch, shop):
    monkeypatch.chdir(tmp_path)
    absolute = absolute_paths(experiment(shop, path="made"))
    assert absolute.profiles.path == str(tmp_path / "made")
    assert from_json(to_json(absolute)) == absolute


def test_a_run_says_its_profiles_and_is_loaded_with_them_alone(tmp_path, shop, monkeypatch, capsys):
    from rich.console import Console

    from jaxrec.launch import execute
    from jaxrec.report import print_banner

    monkeypatch.setattr(PopularityConfig, "needs_profiles", True, raising=False)
    dataset = load_dataset(shop)
    path = profiles_folder(tmp_path / "made", dataset)
    assembly = assemble(absolute_paths(experiment(shop, path=path)), lambda line: None)
    folder = tmp_path / "run"
    folder.mkdir()
    record = {"schema": 1, "hash": assembly.hash, "experiment": to_json(assembly.experiment)}
    (folder / "config.json").write_text(json.dumps(record))
    console = Console(width=200)
    print_banner(console, assembly, folder)
    said = capsys.readouterr().out
    assert "profiles city 2, height a number; 1 users unknown in all of them" in said
    assert "they name no dataset_sha256, so they may know of test items" in said
    result = execute(assembly, folder, console, lambda line: None)
    assert result["profiles"]["sha256"] == assembly.profiles.sha256
    assert (result["profiles"]["fields"], result["profiles"]["numbers"]) == ({"city": 3}, ["height"])
    assert load_run(folder).ctx.user_field_sizes == (3,)
    profiles_folder(tmp_path / "made", dataset, cities=("Bonn",) * 8)
    with pytest.raises(UserError, match="profiles of users are no longer those"):
        load_run(folder)

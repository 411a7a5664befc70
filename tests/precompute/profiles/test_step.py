"""The step that writes profiles: what the sample's folder holds, numbers, and what decides it."""

import json

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.prepared import load_dataset
from jaxrec.data.profiles.files import read_profiles
from jaxrec.data.profiles.income import read_income_table
from jaxrec.errors import UserError
from jaxrec.precompute.profiles.config import ProfilesConfig
from jaxrec.precompute.profiles.step import STEP
from tests.eval.given import build_dataset
from tests.precompute.fake_job import FakeJob


def test_the_step_makes_the_samples_table_with_income(tmp_path):
    dataset = load_dataset(DataConfig())
    job = FakeJob(dataset, data=DataConfig(), profiles=ProfilesConfig())
    made = STEP.run(job, tmp_path)
    table = read_profiles(tmp_path, dataset.users)
    assert made.extra["fields"] == [field.name for field in table.fields]
    assert made.extra["fields"][4] == "income"
    for user in range(50):
        traits = table.described(user)
        wanted = read_income_table("sample").level(traits["occupation"], traits["location"])
        assert traits.get("income") == wanted
    counts = made.extra["histograms"]["activity"]["users"]
    assert sum(counts.values()) == dataset.num_users
    job.config.profiles = ProfilesConfig(income_table=None)
    assert STEP.identity(job) != STEP.identity(FakeJob(dataset, data=DataConfig(), profiles=ProfilesConfig()))
    tiny = build_dataset(2, 2, ([(0, 0), (1, 1)], [(0, 1)], [(1, 0)]))
    other = FakeJob(tiny, data=DataConfig(path=str(tmp_path)), profiles=ProfilesConfig(income_table="ml1m"))
    with pytest.raises(UserError, match="no demographics with an occupation"):
        STEP.run(other, tmp_path)


def test_numbers_of_a_table_are_written_counted_and_part_of_what_decides(tmp_path):
    dataset = build_dataset(3, 2, ([(0, 0), (1, 1), (2, 0)], [(0, 1)], [(1, 0)]))
    path = tmp_path / "users.csv"
    path.write_text("user,height:number,city\nu0,1.5,Ulm\nu1,,Bonn\n")
    config = ProfilesConfig(demographics=str(path))
    job = FakeJob(dataset, data=DataConfig(path=str(tmp_path)), profiles=config)
    made = STEP.run(job, tmp_path)
    assert "profile field height: numbers, 2 users unknown" in job.lines
    assert made.extra["fields"][-1] == "height"
    table = read_profiles(tmp_path, dataset.users)
    assert table.numbers.ravel().tolist()[:1] == [1.5]
    assert np.isnan(table.numbers[1:]).all()
    before = STEP.identity(job)
    json.dumps(before)
    path.write_text("user,height:number,city\nu0,1.25,Ulm\nu1,,Bonn\n")
    assert STEP.identity(job) != before

"""The study of the sample, whole: LMMRec beats each of three bases because of what the texts say."""

import json
import pathlib

import pytest

from jaxrec import study
from jaxrec.command_line import run_command

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASES = ("LightGCN", "WeightedGCL", "PolyCF")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_lmmrec_beats_each_base_and_loses_its_lead_with_the_texts_of_other_items(tmp_path, monkeypatch):
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    monkeypatch.chdir(ROOT)
    arguments = [str(ROOT / "configs/studies/lmmrec_sample.py"), "--workdir", str(tmp_path), "--jobs", "2"]
    assert run_command(study.main, arguments) == 0
    table = json.loads((tmp_path / "table.json").read_text())
    tests = {(test["row"], test["against"]): test for test in table["comparisons"] if test["metric"] == "ndcg@10"}
    for base in BASES:
        against_base = tests[f"LMMRec over {base}", base]
        assert against_base["better"], f"LMMRec over {base}: {against_base}"
        assert against_base["holm"] < 0.05
        shuffled = f"LMMRec over {base} (texts shuffled)"
        assert tests[f"LMMRec over {base}", shuffled]["better"]
        assert not tests[shuffled, base]["better"]

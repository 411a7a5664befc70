import json

import pytest

from jaxrec.command_line import run_command
from jaxrec.prepare import main


@pytest.fixture
def ratings(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    path = tmp_path / "ratings.csv"
    rows = [f"u{u},i{i},{1 + (u * i) % 5},{100 + u + 9 * i}" for u in range(12) for i in range(10) if (u + i) % 4]
    path.write_text("user,item,rating,timestamp\n" + "\n".join(rows) + "\n")
    return path


def run(capsys, *argv):
    status = run_command(main, [str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_steps_parts_and_leakage_are_printed(capsys, ratings):
    status, out, err = run(capsys, "--path", ratings, "--filter.min-rating", 2, "--data.filter.user-core", 3)
    assert status == 0
    for words in ("min_rating 2.0", "user_core 3", "train", "valid", "test", "No user-item pair", "sha256"):
        assert words in out
    assert "90" in out  # interactions read
    assert "reading ratings.csv" in err


def test_out_holds_the_parts_and_is_never_written_over(capsys, ratings, tmp_path):
    out = tmp_path / "out"
    status, _, _ = run(capsys, f"--out={out}", "--path", ratings)
    assert status == 0
    assert json.loads((out / "provenance.json").read_text())["split"]["rule"] == "ratio"
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    status, printed, err = run(capsys, "--path", ratings, "--out", out, "--split-seed", 4)
    assert status == 2
    assert printed == ""
    assert err.startswith("jaxrec: error: --out: ")
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_without_data_it_says_that_it_is_the_sample(capsys, ratings):
    status, out, err = run(capsys)
    assert status == 0
    assert "built-in sample" in err
    assert "22,367" in out or "sample" in out


def test_behaviours_are_counted_and_written_apart(capsys, ratings, tmp_path):
    path = tmp_path / "events.csv"
    rows = [
        f"u{u},i{i},{b},{10 * i + n}" for u in range(3) for i in range(6) for n, b in enumerate(("0", "1", "2", "9"))
    ]
    path.write_text("user,item,behaviour,timestamp\n" + "\n".join(rows) + "\n")
    out = tmp_path / "out"
    asked = ("--path", path, "--behaviors", "click=0", "favor=1+2", "--split", "leave_one_out", "--out", out)
    status, printed, _ = run(capsys, *asked)
    assert status == 0
    assert "behaviors click=0 favor=1+2" in printed
    assert "favor = 1 + 2" in printed
    assert "18 events of 9 were left out: no behaviour names it." in printed
    assert "18 events of 1 and 2 followed one of the same user and item; favor is the first." in printed
    auxiliary = (out / "auxiliary.csv").read_text().splitlines()
    assert auxiliary[0] == "user,item,timestamp,behavior"
    assert len(auxiliary) == 19
    assert {line.split(",")[3] for line in auxiliary[1:]} == {"click"}
    status, printed, err = run(capsys, "--path", path, "--behaviors", "click=0", "favor=buy")
    assert status == 2
    assert "favor=buy, but the source has 0, 1, 2, 9" in err
    # What was written is data again: the target in its parts.
    status, printed, _ = run(capsys, "--path", out, "--split", "given")
    assert status == 0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--path", "{}x"], ["data.path", "does not exist", "nearest"]),
        (["--path", "{}", "--splt", "ratio"], ["--splt", "--split"]),
        (["--path", "{}", "--split", "half"], ["--split", "half", "leave_one_out"]),
        (["--path", "{}", "--filter.user-core", "many"], ["--filter.user-core", "many", "whole number"]),
        (["--path", "{}", "--split", "given"], ["data.split", "undivided", "ratio"]),
        (["--path", "{}", "--filter.behavior", "buy"], ["data.filter.behavior", "no behaviours"]),
        (["--path", "{}", "--filter.user-core", "999"], ["data.filter.user_core", "none of"]),
        (["--path", "{}", "--ratio", "1", "0", "1"], ["data.ratio", "above 0"]),
        (["--path", "{}", "--out"], ["--out", "no value"]),
    ],
)
def test_a_mistake_is_one_line_and_status_2(capsys, ratings, argv, words):
    status, out, err = run(capsys, *(word.format(ratings) for word in argv))
    assert status == 2
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("jaxrec: error: ")
    assert all("error" not in line for line in err.splitlines()[:-1])
    for word in words:
        assert word in last


def test_help_lists_the_flags(capsys, ratings):
    with pytest.raises(SystemExit) as leaving:
        main(["--help"])
    assert leaving.value.code == 0
    out = capsys.readouterr().out
    assert "--filter.user-core" in out
    assert "--out" in out


def test_counts_stand_beside_those_that_a_paper_prints(capsys, ratings, tmp_path):
    status, out, _ = run(capsys, "--path", ratings, "--published", 100, 12, 10)
    assert status == 0
    assert "as published" in out
    assert "Against the published counts: -10 interactions (-10.00%)." in out
    status, out, _ = run(capsys, "--path", ratings, "--published", 90, 12, 10)
    assert "Against the published counts: the same." in out
    for wrong in (("3",), ("1", "2", "0")):
        status, _, err = run(capsys, "--path", ratings, "--published", *wrong)
        assert status == 2
        assert err.startswith("jaxrec: error: data.published: found")


def test_a_config_names_its_data(capsys, ratings, tmp_path):
    config = tmp_path / "shop.py"
    config.write_text(
        "from jaxrec.config import Experiment\n"
        "from jaxrec.data.config import DataConfig, FilterConfig\n"
        "from jaxrec.models.popularity import PopularityConfig\n"
        "def get_config():\n"
        "    data = DataConfig(name='shop', filter=FilterConfig(min_rating=2.0), published=(80, 12, 10))\n"
        "    return Experiment(model=PopularityConfig(), data=data)\n"
    )
    status, out, _ = run(capsys, "--config", config, "--path", ratings)
    assert status == 0
    for words in ("shop", "min_rating 2.0", "as published"):
        assert words in out
    status, out, _ = run(capsys, f"--config={config}", "--path", ratings, "--filter.min-rating", 3)
    assert "min_rating 3.0" in out
    status, _, err = run(capsys, "--config", "--path", ratings)
    assert status == 2
    assert "--config: no value" in err

"""Rows added to few places: the same sums by scatter and by product, and the cliff that the check is for."""

from jaxrec.bench import scatter_contention
from jaxrec.bench.scatter_contention import FEW, MANY, ONE_HOT, run
from jaxrec.bench.settings import Settings


def test_both_forms_give_the_same_sums():
    entry = run(Settings(repeats=1, scale="small"))
    assert entry["checks"] == {"sums_equal": True}
    assert set(entry["variants"]) == {MANY, FEW, ONE_HOT}
    assert 0 <= entry["relative_error"] < 1e-4


def test_wrong_sums_and_a_cliff_are_found(monkeypatch):
    monkeypatch.setattr(
        scatter_contention, "_product", lambda ids, updates: 1.01 * updates[: scatter_contention.FEW_ROWS]
    )
    times = {
        MANY: {"min": 1.0, "median": 1.0},
        FEW: {"min": 21.0, "median": 21.0},
        ONE_HOT: {"min": 1.0, "median": 1.0},
    }
    monkeypatch.setattr(scatter_contention, "interleave", lambda variants, settings: times)
    monkeypatch.setattr(scatter_contention, "ROWS", {"full": 64})
    checks = run(Settings(repeats=1, scale="full"))["checks"]
    assert checks == {"sums_equal": False, "few rows take less than 20x as long as many": False}

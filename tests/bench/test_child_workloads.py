"""Workloads that ask processes of their own: simulated devices, and a compilation cache cold and warm."""

import pytest

from jaxrec.bench import compile_cache, step_collectives
from jaxrec.bench.settings import Settings
from jaxrec.bench.simulated_devices import ask_on_devices
from jaxrec.errors import UserError


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_step_says_a_reduction_of_its_scores_and_no_tables():
    programs = step_collectives.run(Settings(repeats=1, scale="small"))["programs"]
    # Four bytes for each of the 64 margins, and four for the sum of squares.
    assert programs[step_collectives.FEATURES]["collective_bytes"] == 4 * 64 + 4
    assert programs[step_collectives.NODES]["collective_bytes"] > 4 * 704 * 16  # a table at least


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_warm_cache_gives_the_same_loss():
    report = compile_cache.run(Settings(repeats=1, scale="small"))
    assert report["checks"] == {"same loss": True}
    assert report["variants"].keys() == {compile_cache.COLD, compile_cache.WARM}
    for name in (compile_cache.COLD, compile_cache.WARM):
        first = report[compile_cache.FIRST_STEP][name]["median"]
        assert first > report["variants"][name]["median"] + report[compile_cache.TRACE][name]["median"]


@pytest.mark.multiprocess
def test_a_child_that_fails_is_told_in_one_line():
    with pytest.raises(UserError, match=r"jaxrec.bench.no_such_module ended with 1: .*No module named"):
        ask_on_devices(2, "jaxrec.bench.no_such_module")

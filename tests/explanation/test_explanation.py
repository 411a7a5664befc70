"""Explanations: against what ranking does and what the model says of itself; the page in a real browser."""

import dataclasses
import html.parser
import itertools
import json
import pathlib
import shutil
import subprocess

import jax
import numpy as np
import pytest

from jaxrec import explain
from jaxrec.assembly import LoadedRun, assemble
from jaxrec.command_line import run_command
from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.histories import histories
from jaxrec.data.item_words import ItemWords
from jaxrec.data.text_config import TextConfig
from jaxrec.errors import UserError
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.ranking import FullRanking
from jaxrec.explanation import users
from jaxrec.explanation.agent import Refinement
from jaxrec.explanation.page import as_html
from jaxrec.explanation.users import explain_users, write_explanation
from jaxrec.models.bprmf import BPRMFConfig
from jaxrec.models.comirec import ComiRecConfig
from jaxrec.models.polycf_signal import PolyCFSignalConfig
from jaxrec.models.uim import UiMConfig
from jaxrec.train.config import DevicesConfig

MODELS = {
    "uim": UiMConfig(dim=8, max_length=6, backbone="fusion", init_std=0.5),
    "comirec": ComiRecConfig(dim=8, num_interests=2, max_length=6, init_std=0.5),
    "bprmf": BPRMFConfig(dim=8, init_std=0.5),
    "polycf_signal": PolyCFSignalConfig(num_singular_vectors=4, hide_positives=False),
}
WHO = ["user_0003", "user_0410", "user_0999"]
HOSTILE = '"><script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'"> \u202edrawkcab & <b>'
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "chrome-headless-shell")


def made(name):
    """A run of first parameters on the sample, as load_run gives one."""
    experiment = Experiment(
        model=MODELS[name],
        data=DataConfig(name="sample", split="ratio", order="temporal", ratio=(8, 1, 1)),
        text=TextConfig(source="none"),
        eval=EvalConfig(k=(5,), save_topk=20),
        devices=DevicesConfig(count=1),
    )
    assembly = assemble(experiment, lambda _: None)
    params = jax.jit(assembly.model.init)(jax.random.key(1), assembly.ctx)[0]
    source = {"name": "sample", "source": "sample", "sha256": assembly.dataset.sha256}
    result = {"name": "tried", "model": name, "seed": 0, "config_hash": "abc", "dataset": source}
    ctx = assembly.context("serve")
    return LoadedRun(assembly.experiment, assembly.dataset, assembly.model, params, ctx, result, assembly)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXREC_CACHE", str(tmp_path_factory.mktemp("explain") / "cache"))
        patch.delenv("JAXREC_DATA", raising=False)
        yield


@pytest.fixture(scope="module")
def uim(cache):
    return made("uim")


@pytest.fixture(scope="module")
def explained(uim):
    return explain_users(uim, WHO, top=20)


def evaluated(run):
    """The lists of the evaluator: raw user -> raw items."""
    ranking = FullRanking(run.dataset, "test", run.experiment.eval, run.assembly.mesh)
    found = ranking.evaluate(run.model, run.params, run.assembly.context("test"), lists=True)
    raw = run.dataset.items.raw
    return {
        str(run.dataset.users.raw[user]): raw[items].tolist()
        for user, items in zip(found.user_ids, found.topk_items, strict=True)
    }


def test_interests_of_uim_are_what_the_model_says(uim, explained):
    ids = uim.dataset.users.encode(WHO)
    lists, context = evaluated(uim), uim.assembly.context("test")
    encoded = jax.jit(uim.model.encode)(uim.params, context)
    insight = jax.device_get(jax.jit(uim.model.insight)(encoded, {"user_ids": ids}))
    vectors = np.asarray(uim.model.item_vectors(encoded).vectors)
    known = histories(uim.dataset, "test", 6)[-1]
    assert explained["weights"] == "routing"
    for row, user in enumerate(explained["users"]):
        real = known[ids[row]] > 0
        raw = uim.dataset.items.raw[known[ids[row]][real] - 1].tolist()
        assert [told["item"] for told in user["history"]] == raw
        coupling = np.array([interest["coupling"] for interest in user["interests"]])
        np.testing.assert_allclose(coupling.sum(0), 1, atol=1e-5)
        np.testing.assert_allclose(user["item_gates"], insight.item_gates[row][real], atol=1e-5)
        weights = np.array([interest["weights"] for interest in user["interests"]])
        np.testing.assert_allclose(weights, coupling * user["item_gates"], atol=1e-5)
        for number, interest in enumerate(user["interests"]):
            gates = interest["profile_gates"]
            assert tuple(gates) == uim.model.field_names(context)
            np.testing.assert_allclose(list(gates.values()), insight.field_gates[row, number], atol=1e-5)
        told = user["recommendations"]
        assert [one["item"] for one in told] == lists[user["user"]]
        scores = insight.interests[row] @ vectors.T
        places = uim.dataset.items.encode([one["item"] for one in told])
        assert [one["interest"] for one in told] == scores[:, places].argmax(0).tolist()
        np.testing.assert_allclose([one["score"] for one in told], scores[:, places].max(0), atol=1e-4)
        brought = [interest["recommends"] for interest in user["interests"]]
        assert sorted(itertools.chain(*brought)) == sorted(one["item"] for one in told)
        later = uim.dataset.test.item_ids[uim.dataset.test.user_ids == ids[row]]
        assert [one["taken"] for one in told] == np.isin(places, later).tolist()
        assert user["num_taken"] == len(later)
        assert user["profile"]["gender"] in ("female", "male")


@pytest.mark.parametrize(
    ("name", "kind", "interests"), [("comirec", "routing", 2), ("bprmf", "likeness", 1), ("polycf_signal", "none", 0)]
)
def test_other_models_give_what_they_can(name, kind, interests):
    run = made(name)
    found = explain_users(run, WHO[:2], top=20)
    assert found["weights"] == kind
    # Lists of vectors are those of the evaluator: see above.
    lists = evaluated(run) if kind == "none" else None
    for user in found["users"]:
        assert len(user["interests"]) == interests
        assert user["history"]
        assert lists is None or [told["item"] for told in user["recommendations"]] == lists[user["user"]]
        assert all(interest["profile_gates"] == {} for interest in user["interests"])
    assert "User <bdi>user_0003" in as_html(found)
    assert ("does not read profiles" in as_html(found)) is True


def test_interests_are_called_by_what_sets_them_apart():
    history = [{"categories": ["calm", "farm"]}, {"categories": ["calm", "war"]}, {"categories": []}]
    assert users._names(history, [[1.0, 0.1, 5.0], [0.1, 1.0, 0.0]]) == ["farm, calm", "war, calm"]
    assert users._names(history, [[1.0, 0.5, 0.0]]) == ["calm, farm"]
    assert users._names(history, [[-1.0, -0.5, 0.0], [0.0, 0.0, 1.0]]) == ["", ""]
    assert users._names([], [[], []]) == ["", ""]


def test_a_user_without_history_has_a_page_too(uim):
    user = int(uim.dataset.users.encode(WHO[:1])[0])

    def without(part):
        return part.take(part.user_ids != user)

    dataset = dataclasses.replace(uim.dataset, train=without(uim.dataset.train), valid=without(uim.dataset.valid))
    assembly = dataclasses.replace(uim.assembly, dataset=dataset)
    found = explain_users(dataclasses.replace(uim, dataset=dataset, assembly=assembly), WHO[:2])
    alone = found["users"][0]
    assert (alone["history"], alone["interests"][0]["weights"]) == ([], [])
    assert len(alone["recommendations"]) == 10
    json.dumps(found, allow_nan=False)
    assert "no event before the test part" in as_html(found)


class Tags(html.parser.HTMLParser):
    """Every tag, attribute and address of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.addresses = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value for name, value in attrs if name == "href"]


def refinement(place, lines, **changes):
    (place / "said").mkdir(exist_ok=True)
    (place / "said" / "feedback.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    record = {"agent": "llm", "answered_by": "small <model>", "simulation": False, "top": 2, "candidates": 4}
    path = place / "refinement.json"
    path.write_text(json.dumps(record | {"config_hash": "abc", "folder": "said"} | changes))
    return path


@pytest.fixture
def refined(uim, explained, tmp_path):
    """Of the first user an order and words, of the second silence, of the third nothing."""
    lists = [[told["item"] for told in user["recommendations"][:4]] for user in explained["users"]]
    lines = [
        {"user": WHO[0], "candidates": lists[0], "said": ["D", "A", HOSTILE], "order": [3, 0, 1, 2]},
        {"user": WHO[1], "candidates": lists[1], "said": None, "order": [0, 1, 2, 3]},
    ]
    lines = [line | {"comments": f"I like {HOSTILE}", "unknown": [HOSTILE]} for line in lines]
    return refinement(tmp_path, lines), lists


def test_what_an_agent_said_stands_beside_what_it_was_shown(uim, refined, tmp_path):
    path, lists = refined
    found = explain_users(uim, WHO, 10, Refinement(path, tmp_path, "abc"))
    first, silent, unasked = found["users"]
    assert [told["item"] for told in first["recommendations"]] == lists[0]
    assert [told["kept_at"] for told in first["recommendations"]] == [2, None, None, 1]
    assert [told["item"] for told in first["agent"]["kept"]] == [lists[0][3], lists[0][0]]
    assert silent["agent"]["said"] is None
    assert unasked["agent"] is None
    page = as_html(found)
    assert "Nothing that could be read" in page
    assert page.count("The simulated user: <bdi>llm (small &lt;model&gt;)") == 2
    assert "▲ from 4" in page
    assert "A simulation" not in page
    oracle = refinement(tmp_path, [], agent="oracle", simulation=True)
    assert "A simulation: this agent reads" in as_html(explain_users(uim, WHO, 10, Refinement(oracle, tmp_path, "abc")))


def test_records_that_do_not_fit_are_named(tmp_path):
    line = {"user": "a", "candidates": ["x"], "said": [], "order": [0], "unknown": []}
    with pytest.raises(UserError, match="refines the run other"):
        Refinement(refinement(tmp_path, [line], config_hash="other"), tmp_path, "abc")
    with pytest.raises(UserError, match="not what an agent said"):
        Refinement(refinement(tmp_path, [line | {"order": None}]), tmp_path, "abc")
    with pytest.raises(UserError, match="not what an agent said"):
        Refinement(refinement(tmp_path, [line], folder="nowhere"), tmp_path, "abc")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UserError, match="no 'agent'"):
        Refinement(tmp_path / "other.json", tmp_path, "abc")


def test_the_page_in_a_browser(uim, refined, tmp_path, monkeypatch):
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser found; one of {', '.join(BROWSERS)} is needed")
    titles = ItemWords((HOSTILE,) * uim.dataset.num_items, ((HOSTILE, "calm"),) * uim.dataset.num_items)
    monkeypatch.setattr(users, "read_item_words", lambda *_: titles)
    found = explain_users(uim, WHO, 10, Refinement(refined[0], tmp_path, "abc"))
    paths = write_explanation(tmp_path / "out", found)
    page = paths[1].read_text()
    assert json.loads(paths[0].read_text()) == found
    read = Tags()
    read.feed(page)
    # Nothing but itself: neither a script, nor an address, nor a file.
    assert not read.tags & {"script", "img", "link", "iframe", "object", "embed", "base", "form", "svg"}
    assert not read.attributes & {"src", "srcset", "data", "action", "onerror", "onload"}
    assert all(address.startswith("#user-") for address in read.addresses)
    assert "url(" not in page.partition("<style>")[2].partition("</style>")[0]
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}",
         "--window-size=1100,1600", f"--screenshot={tmp_path / 'page.png'}", "--dump-dom", paths[1].as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert "<title>Why these recommendations: tried</title>" in shown
    assert shown.count("<section") == 3
    assert shown.count('class="card interest"') == 9
    assert shown.count('class="gates"') == 3
    assert shown.count("&lt;script&gt;") > 10
    assert "<script" not in shown
    assert "<img" not in shown
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_the_command(uim, refined, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jaxrec.assembly.load_run", lambda *_: uim)
    monkeypatch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)

    def run(*more):
        arguments = ["--run", tmp_path, "--out", tmp_path / "out", *more]
        return run_command(explain.main, [str(argument) for argument in arguments]), capsys.readouterr()

    status, told = run("--user", WHO[0], "--user", WHO[2], "--user", WHO[0], "--refinement", refined[0])
    assert status == 0
    assert f"user {WHO[2]} was not among those" in told.err
    assert [pathlib.Path(line).name for line in told.out.split()] == ["explanation.json", "explanation.html"]
    assert len(json.loads((tmp_path / "out" / "explanation.json").read_text())["users"]) == 2
    for arguments, said in [
        (("--user", "nobody"), "user 'nobody' is not among"),
        (("--user", WHO[0], "--top", "0"), "top: found 0"),
        (("--user", WHO[0], "--refinement", tmp_path / "nowhere"), "cannot be read"),
        ((), "--user"),
    ]:
        status, told = run(*arguments)
        assert (status, said in told.err) == (2, True), told.err

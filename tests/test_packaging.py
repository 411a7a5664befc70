"""What the installed package promises: version, imports without weight, the Flax classes of transformers."""

import importlib.metadata
import json
import pathlib
import subprocess
import sys
import tomllib
import warnings

import pytest

import jaxrec

ROOT = pathlib.Path(__file__).resolve().parents[1]
SLOW = ("jax", "flax", "polars", "transformers", "sklearn", "scipy", "grain", "orbax", "jraph", "openai", "torch")


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_one_and_the_same():
    assert importlib.metadata.version("jaxrec") == jaxrec.__version__ == project()["version"]


def test_the_changelog_speaks_of_this_version():
    assert f"[{jaxrec.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_jax_and_flax_are_pinned_for_old_and_new_python():
    for package in ("jax", "flax"):
        lines = [line for line in project()["dependencies"] if line.startswith(f"{package}>")]
        markers = sorted(line.partition(";")[2].strip() for line in lines)
        assert markers == ["python_version < '3.12'", "python_version >= '3.12'"]


def test_torch_is_no_dependency():
    extras = project()["optional-dependencies"]
    everything = project()["dependencies"] + [line for lines in extras.values() for line in lines]
    assert not [line for line in everything if line.startswith("torch")]


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stdout))


def test_importing_jaxrec_loads_nothing_slow():
    assert not loaded_after("import jaxrec").intersection(SLOW)


def test_importing_config_parts_loads_nothing_slow():
    parts = "import jaxrec.data.config, jaxrec.data.text_config, jaxrec.train.config, jaxrec.eval.config"
    assert not loaded_after(parts).intersection(SLOW)


def test_loading_a_config_touches_no_device_and_no_data_library():
    code = (
        "from jaxrec.config import load_config, validate\n"
        "validate(load_config('configs/lmmrec_steam.py'))\n"
        "import sys\n"
        "bridge = sys.modules.get('jax._src.xla_bridge')\n"
        "assert bridge is None or not bridge.backends_are_initialized(), 'a device was touched'\n"
        "heavy = {name.split('.')[0] for name in sys.modules} & set('polars transformers sklearn openai'.split())\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_transformers_still_gives_the_flax_encoders():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers announces that its Flax classes will go
        from transformers import FlaxBertModel, FlaxCLIPModel, FlaxRobertaModel
    assert [model.__name__ for model in (FlaxBertModel, FlaxCLIPModel, FlaxRobertaModel)] == [
        "FlaxBertModel",
        "FlaxCLIPModel",
        "FlaxRobertaModel",
    ]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", ".ci/run"])
def test_the_house_has_its_papers(name):
    assert (ROOT / name).stat().st_size > 200


def test_relative_links_in_the_documents_lead_somewhere():
    import re

    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    broken = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert not broken

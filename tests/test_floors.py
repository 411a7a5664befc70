"""The floors of the house: nothing imports upward, and pure packages stay pure."""

import ast
import pathlib
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "jaxrec"
PURE = ("nn", "models")


def test_nothing_imports_upward():
    pytest.importorskip("importlinter", reason="import-linter comes with the test extra")
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def calls_and_imports(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names.add(f"{node.func.id}()")
        elif isinstance(node, ast.Global):
            names.add("global")
    return names


@pytest.mark.parametrize("folder", PURE)
def test_pure_packages_do_no_input_or_output_and_hold_no_global(folder):
    forbidden = {"print()", "open()", "input()", "global", "logging", "pathlib", "os", "sys", "random", "rich", "tyro"}
    for file in sorted((PACKAGE / folder).rglob("*.py")):
        found = calls_and_imports(file.read_text()) & forbidden
        assert not found, f"{file.relative_to(ROOT)}: {sorted(found)}"


def test_no_pickle_no_blanket_except_no_utils():
    for file in sorted(PACKAGE.rglob("*.py")):
        assert file.stem not in ("utils", "util", "helpers", "misc"), file
        source = file.read_text()
        assert not calls_and_imports(source) & {"pickle", "joblib", "dill", "cloudpickle"}, file
        for node in ast.walk(ast.parse(source)):
            assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{file}:{node.lineno}: bare except"


def test_every_module_has_its_floor():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = settings["contracts"][0]["layers"]
    modules = [name.strip().strip("()") for layer in layers for name in layer.replace(":", "|").split("|")]
    top_level = {f"jaxrec.{path.stem}" for path in PACKAGE.iterdir() if path.stem not in ("__init__", "__pycache__")}
    assert sorted(top_level - set(modules)) == []

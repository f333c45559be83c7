"""setup.py, constraints.txt, Makefile and the import contracts agree with each other."""

import ast
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def _setup_constant(name):
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"setup.py has no {name}")


def _pins(python):
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate({"python_version": python}):
                assert canonicalize_name(pin.name) not in pins, f"{pin.name} twice for {python}"
                pins[canonicalize_name(pin.name)] = next(iter(pin.specifier)).version
    return pins


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_every_dependency_is_pinned_inside_its_range(python):
    pins = _pins(python)
    extras = _setup_constant("EXTRAS")
    wanted = [*_setup_constant("REQUIRED"), *extras["dev"], *extras["viz"], *extras["tb"]]
    wanted += [*extras["torch"], "trackeval==1.3.0"]
    for requirement in map(Requirement, wanted):
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_jax_generations():
    assert _pins("3.11")["jax"].startswith("0.10.")
    assert _pins("3.12")["jax"].startswith("0.12.")
    assert _pins("3.12") == _pins("3.13")


def test_runtime_needs_neither_torch_nor_tensorflow():
    names = {Requirement(r).name for r in _setup_constant("REQUIRED")}
    assert names.isdisjoint({"torch", "tensorflow", "tensorflow-cpu", "transformers"})


def _make_dry_run(target, *settings):
    command = ["make", "--dry-run", "--always-make", target, *settings]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_demo_installs_the_runtime_only():
    printed = _make_dry_run("demo", "VENV=/nonexistent/venv")
    assert "-m experiments.demo" in printed
    assert "-e .\n" in printed and "-e '." not in printed


@pytest.mark.parametrize(("with_torch", "extras"), [("0", "dev,viz,tb"), ("1", "dev,viz,tb,torch")])
def test_test_runs_every_check(with_torch, extras):
    printed = _make_dry_run("test", f"WITH_TORCH={with_torch}", "VENV=/nonexistent/venv")
    assert f"-e '.[{extras}]'" in printed
    assert "--no-deps trackeval\n" in printed  # its requirements would overwrite cv2
    for check in ("ruff check", "ruff format --check", "pyright", "lint-imports", "-m pytest"):
        assert check in printed


def test_every_room_of_the_core_has_a_layer():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert set(settings) <= {"ruff", "pyright", "pytest", "importlinter"}  # tool settings only
    contracts = settings["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    named = {room.strip() for layer in layers for room in layer.replace(":", "|").split("|")}
    rooms = {
        f"surgjax.{path.stem}"
        for path in (ROOT / "surgjax").iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
    }
    assert rooms <= named, f"not in the layers of pyproject.toml: {sorted(rooms - named)}"

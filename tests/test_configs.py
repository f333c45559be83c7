"""Every config of a system builds in both modes, is plain data and says how to run it."""

import importlib
import json
from pathlib import Path

import pytest
from ml_collections import ConfigDict

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / "configs").glob("*/*.py")
    if path.stem not in ("__init__", "common")
    and path.parent.name != "evaluation"  # of no one system: tests/configs/test_evaluation.py
)


def test_there_are_configs():
    assert CONFIGS


@pytest.mark.parametrize("mode", ["full", "debug"])
@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_config_builds(path, mode):
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    config = module.get_config(mode)
    assert isinstance(config, ConfigDict)
    assert config.system == path.parent.name
    assert (ROOT / "experiments" / config.system / "main.py").exists()
    json.dumps(config.to_dict())  # numbers, strings, lists, dicts: plain data
    assert f"--config {path}" in module.__doc__ and "Expect:" in module.__doc__


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_debug_differs_and_needs_no_data(path):
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    full, debug = module.get_config("full"), module.get_config("debug")
    assert set(full) == set(debug)
    assert full != debug

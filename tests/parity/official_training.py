"""The original training code of sam2 1.1.0, loaded by path from a checkout, without its trainer.

Path:    SURGJAX_OFFICIAL_SAM2, or what `make parity-official` fetched -> loss_fns, optimizer,
         model/sam2
Errors:  pytest skips where no checkout is found; FileNotFoundError from `module` for a wrong one.
Source:  sam2 1.1.0: training/loss_fns.py, training/optimizer.py and the MOSE fine-tuning YAML.
Differs: hydra, omegaconf and the trainer are stand-ins here, since only a few of their functions
         are called; sys.modules is left as it was.
"""

import contextlib
import importlib.util
import os
import re
import sys
import types
from pathlib import Path
from typing import Any

import yaml

CORE_LOSS = "core_loss"
RECIPE = "sam2/configs/sam2.1_training/sam2.1_hiera_b+_MOSE_finetune.yaml"
_DEFAULT = Path(__file__).resolve().parents[2] / "parity_output" / "sam2"


def folder() -> Path | None:
    """The checkout, if there is one."""
    path = Path(os.environ.get("SURGJAX_OFFICIAL_SAM2", _DEFAULT))
    return path if (path / "training" / "loss_fns.py").exists() else None


def _resolve(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def _instantiate(node: Any, *arguments: Any) -> Any:
    """What is handed over here is built already: called where the original adds arguments."""
    return node(*arguments) if arguments else node


@contextlib.contextmanager
def _stand_ins():
    content = {
        "hydra": dict(utils=types.SimpleNamespace(get_class=_resolve, instantiate=_instantiate)),
        "omegaconf": dict(DictConfig=dict),
        "training": dict(__path__=[]),
        "training.trainer": dict(CORE_LOSS_KEY=CORE_LOSS),
        "training.utils": dict(__path__=[]),
        "training.utils.data_utils": dict(BatchedVideoDatapoint=object),
        "training.utils.distributed": dict(
            get_world_size=lambda: 1, is_dist_avail_and_initialized=lambda: False
        ),
    }
    before = {name: sys.modules.get(name) for name in content}
    for name, attributes in content.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(attributes)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def module(checkout: Path, name: str) -> Any:
    """training/NAME.py of the checkout as a module of its own."""
    path = checkout / "training" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"official_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    with _stand_ins():
        spec.loader.exec_module(loaded)
    return loaded


def recipe(checkout: Path) -> dict[str, Any]:
    """The fine-tuning YAML, with the few interpolations of its numbers done."""
    tree = yaml.safe_load((checkout / RECIPE).read_text())

    def value(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: value(item) for key, item in node.items()}
        if isinstance(node, list):
            return [value(item) for item in node]
        if not isinstance(node, str):
            return node
        if match := re.fullmatch(r"\$\{scratch\.(\w+)\}", node):
            return float(tree["scratch"][match[1]])
        if match := re.fullmatch(r"\$\{divide:\$\{scratch\.(\w+)\},(\d+)\}", node):
            return float(tree["scratch"][match[1]]) / int(match[2])
        return node

    return {key: value(tree["trainer"][key]) for key in ("optim", "loss")}

"""Every builder of the package by name, imported only when asked for.

Path:    --dataset=NAME -> [registry] -> builder class, fake archive
Axes:    none.
Units:   none.
Errors:  ValueError that lists the names for one that is not there.
"""

import importlib
from types import ModuleType

NAMES = (
    "autolaparo",
    "bkai_igh",
    "cadis",
    "cataract1k",
    "cholec80",
    "cholecinstanceseg",
    "cholecseg8k",
    "cholectrack20",
    "cvc_clinicdb",
    "davis_folder",
    "dsad",
    "endoscapes2023",
    "endovis17",
    "endovis18",
    "generated",
    "grasp",
    "kvasir_seg",
    "polypgen",
    "ref_endovis17",
    "ref_endovis18",
    "robotool",
    "sar_rarp50",
    "single_background",
)


def _module(name: str, part: str) -> ModuleType:
    if name not in NAMES:
        raise ValueError(f"--dataset: expected one of {', '.join(NAMES)}, found {name!r}.")
    return importlib.import_module(f"tfds_builders.{name}.{part}")


def builder_class(name: str):
    """The builder: a subclass of tfds_builders.kit.builder.ArchiveBuilder called `Builder`."""
    return _module(name, "builder").Builder


def fake(name: str) -> ModuleType:
    """The module with `make(root, seed)`, which draws a small archive in the true layout."""
    return _module(name, "fake")

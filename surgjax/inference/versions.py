"""Versions of what a result depends on, for summaries and reports.

Path:    [versions] -> launchers
Source:  ours.
Differs: nothing to compare with.
"""

import platform
from importlib.metadata import PackageNotFoundError, version

import surgjax

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "pillow", "av")


def package_versions() -> dict[str, str | None]:
    """Python, surgjax and the packages it computes and reads with; None: not installed."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "surgjax": surgjax.__version__,  # not from metadata: a checkout need not be installed
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found

"""Versions of what a result depends on, for summaries, reports and training runs.

Path:    [versions] -> launchers, train.run_record
Errors:  none: what is not installed has no version.
Source:  ours.
Differs: nothing to compare with.
"""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import surgjax

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "pillow", "av")


def package_versions(packages: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """Python, surgjax and packages, by default what inference needs; None: not installed."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "surgjax": surgjax.__version__,  # not from metadata: a checkout need not be installed
    }
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found

"""Names and shapes of the original code's state dicts: `python -m tests.checkpoints.official_keys`.

Path:    sam2 1.1.0 (see tests/parity/official.py) -> [official_keys] -> official_keys.json
Units:   none.
Errors:  subprocess.CalledProcessError where the package cannot be installed.
Source:  sam2 1.1.0 from PyPI, its models built from its own YAML files.
Differs: the stored file keeps a sum of each listing, not the listing; `listing` is what is summed.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from surgjax.models.variants import get_config

GOLDEN = Path(__file__).with_suffix(".json")


def listing(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """One line per tensor, sorted by name."""
    return "".join(f"{name} {list(shape)}\n" for name, shape in sorted(shapes.items()))


def summary(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int | str]:
    """What the golden file keeps of a listing."""
    sha = hashlib.sha256(listing(shapes).encode()).hexdigest()
    return {"entries": len(shapes), "sha256": sha}


def official_shapes(variant: str, version: str) -> dict[str, tuple[int, ...]]:
    """The state dict of the original model, shapes only."""
    from experiments.video_benchmark import official_peer
    from tests.parity import official

    official.fetch()
    tree = official_peer.settings(official.FOLDER, get_config(variant, version))
    model = official_peer.made_of(tree)
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    variants = ("tiny", "small", "base_plus", "large")
    golden = {
        f"{variant} {version}": summary(official_shapes(variant, version))
        for variant in variants
        for version in ("2.1", "2.0")
    }
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()

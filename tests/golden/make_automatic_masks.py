"""Writes the golden of automatic masks: `python -m tests.golden.make_automatic_masks [CASE ...]`.

Path:    tests.parity.official_automatic -> [make_automatic_masks] -> automatic_masks.json
         -> test_automatic_masks
Errors:  FileNotFoundError without torch's side: a checkout, see tests.parity.official_training;
         AssertionError, at the end, for a case that says little or whose answer hangs on rounding.
Source:  sam2 1.1.0 with the weights of automatic_masks_case.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from tests.golden import automatic_masks_case as case
from tests.parity import official_automatic, official_training

LEAST = {"own_points": 2, "single": 3}  # records; 5 elsewhere


def records(generator: Any) -> list[dict[str, Any]]:
    """What a generator of the original gives, as JSON holds it."""
    return json.loads(json.dumps(generator.generate(case.image())))


def make(checkout: Path, name: str) -> list[dict[str, Any]]:
    """The original's records of a case, checked for saying something, and for being stable."""
    options = case.options(name)
    generator = official_automatic.build(checkout, case.CONFIG, case.params(), **options)
    found = records(generator)
    assert len(found) >= LEAST.get(name, 5), f"{name}: only {len(found)} records"
    crops = {tuple(r["crop_box"]) for r in found}
    assert "crop_n_layers" not in options or len(crops) > 1, f"{name}: no mask of a crop is left"
    for key, near in case.NEAR.items():
        for shift in (-near, near) if options[key] else ():
            setattr(generator, key, options[key] + shift)
            try:
                case.compare(records(generator), found)
            except AssertionError as error:
                raise AssertionError(f"{name}: hangs on the rounding of {key}: {error}") from None
        setattr(generator, key, options[key])
    print(f"{name}: {len(found)} records of {len(crops)} crops", flush=True)
    return found


def main() -> None:
    checkout = official_training.folder()
    if checkout is None:
        raise FileNotFoundError(
            "no checkout of sam2 1.1.0: run `make parity-official`, or set SURGJAX_OFFICIAL_SAM2."
        )
    torch.set_num_threads(1)
    stored = json.loads(case.FILE.read_text()) if case.FILE.exists() else {}
    failed = []
    for name in sys.argv[1:] or case.CASES:
        try:
            stored |= {"torch": torch.__version__, name: make(checkout, name)}
        except AssertionError as error:
            failed.append(str(error))
    case.FILE.write_text(json.dumps(stored, separators=(",", ":")) + "\n")
    print(f"{case.FILE.name}: {case.FILE.stat().st_size / 1e3:.0f} kB")
    sys.exit("\n".join(failed) or None)


if __name__ == "__main__":
    main()

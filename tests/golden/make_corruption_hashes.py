"""Writes the sums of every corruption: `python -m tests.golden.make_corruption_hashes`.

Path:    picture -> corruptions -> [make_corruption_hashes] -> corruption_hashes.json -> tests
Axes:    per name and size five sums and five means, severities 1 to 5.
Source:  surgjax.robustness itself: the sums hold it to what it was when numbers were quoted.
Differs: the picture is made of whole numbers, so that nothing but a corruption can change a sum.
"""

import argparse
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import PIL

from surgjax.robustness import CORRUPTIONS, SEVERITIES, corrupt

FILE = Path(__file__).with_name("corruption_hashes.json")
SIZES = ((61, 83), (240, 256))  # below and above the reference size, one of them odd
SEED = 7


def versions() -> dict[str, str]:
    """What the last bit of a corruption may depend on."""
    return {"numpy": np.__version__, "opencv": cv2.__version__, "pillow": PIL.__version__}


def picture(height: int, width: int) -> np.ndarray:
    """Slopes, edges, texture, black, white and grey, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    red = 90 + 120 * x // width
    green = 30 + 90 * y // height + 12 * ((x // 5 + y // 7) % 2)
    blue = 40 + (x * x + 3 * y * y) % 37
    image = np.stack([red, green, blue], -1)
    image[height // 3 : height // 2, width // 8 : -width // 8] = 170  # a grey bar
    image[(y - height // 2) ** 2 + (x - width // 3) ** 2 < (height // 6) ** 2] = (250, 245, 240)
    image[-height // 6 :, : width // 5] = 0
    image[: height // 8, -width // 6 :] = 255
    return image.astype(np.uint8)


def summary(name: str, height: int, width: int) -> dict[str, list]:
    """The sums and means of one corruption."""
    image = picture(height, width)
    found = [corrupt(image, name, severity, SEED) for severity in SEVERITIES]
    return {
        "sha256": [hashlib.sha256(f.tobytes()).hexdigest()[:16] for f in found],
        "mean": [round(float(f.mean()), 3) for f in found],
    }


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args()
    golden = {
        "made_by": versions(),
        "corruptions": {
            name: {f"{h}x{w}": summary(name, h, w) for h, w in SIZES} for name in CORRUPTIONS
        },
    }
    FILE.write_text(json.dumps(golden, indent=1) + "\n")
    print(f"{FILE.name}: {len(CORRUPTIONS)} corruptions, {FILE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

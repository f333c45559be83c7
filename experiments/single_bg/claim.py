r"""Does a set made from one background image teach a network to segment scenes it never saw?

  python -m experiments.single_bg.claim --seeds 3 --output claim.json
  python -m experiments.single_bg.claim --sheet FILE.png --first_seed 1  # a picture alone

Path:    generated seed frames -> single_background -> U-Net -> held-out scenes -> [claim] -> table
Axes:    images [B, S, S, 3] float32 in -1..1, masks [B, S, S] bool: instruments.
Units:   IoU of the instrument class, mean over held-out images, in 0..1.
Source:  Wang et al., arXiv:2206.11804, whose claims these are: generated data alone suffices to
         segment real scenes; AugMix and a second or third seed image per instrument help.
Differs: "real" means scenes of the generated world (held-out seeds), since no real set is at hand;
         U-Net at 64 px. Every arm has the same network, steps, batch and rate; arms of one seed
         share their seed frames and the network's first weights. `frames` sees the same labelled
         frames and the same background, as they are; `shuffled`, the control that must fail, sees
         the set of `three` with the masks of other images.
"""

import json
from pathlib import Path
from typing import Any

from absl import app, flags
from PIL import Image

from experiments.single_bg import arms
from surgjax.checkpoints.atomic import atomic_file

_SEEDS = flags.DEFINE_integer("seeds", 3, "Independent repetitions.", lower_bound=1)
_FIRST_SEED = flags.DEFINE_integer(
    "first_seed", 0, "Of the repetitions, to share them out.", lower_bound=0
)
_STEPS = flags.DEFINE_integer("steps", 400, "Updates of every arm.")
_IMAGES = flags.DEFINE_integer("images", 400, "Generated images of every arm.")
_HELD = flags.DEFINE_integer("held_out", 80, "Scenes the arms are scored on.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the scores; optional.")
_ARMS = flags.DEFINE_list("arms", list(arms.ARMS), f"Some of {','.join(arms.ARMS)}.")
_SHEET = flags.DEFINE_string("sheet", None, "PNG to draw composed images into, instead.")
_GAINS = (
    ("three", "shuffled"),
    ("three", "frames"),
    ("two", "one"),
    ("three", "one"),
    ("three+augmix", "three"),
)


def main(_):
    if _SHEET.value:
        picture = Image.fromarray(arms.sheet(_FIRST_SEED.value)).quantize(256)
        with atomic_file(Path(_SHEET.value)) as temporary:
            picture.save(temporary, "PNG", optimize=True)
        return
    unknown = sorted(set(_ARMS.value) - set(arms.ARMS))
    if unknown or not _ARMS.value:
        raise app.UsageError(
            f"--arms={','.join(_ARMS.value)}: some of {','.join(arms.ARMS)} expected."
        )
    seeds = range(_FIRST_SEED.value, _FIRST_SEED.value + _SEEDS.value)
    found = arms.compare(seeds, _STEPS.value, _IMAGES.value, _HELD.value, _ARMS.value)
    report: dict[str, Any] = {"seeds": list(seeds), "steps": _STEPS.value, "arms": {}, "gains": {}}
    report["ious"] = {arm: values.tolist() for arm, values in found.items()}
    for arm, values in found.items():
        report["arms"][arm] = [float(values.mean()), *arms.interval(values)]
        mean, low, high = report["arms"][arm]
        print(f"{arm:<24} {mean:.3f}  [{low:.3f}, {high:.3f}]")
    for better, worse in _GAINS:
        if better not in found or worse not in found:
            continue
        gain = found[better] - found[worse]
        report["gains"][f"{better} - {worse}"] = [float(gain.mean()), *arms.interval(gain)]
        mean, low, high = report["gains"][f"{better} - {worse}"]
        print(f"{better + ' - ' + worse:<24} {mean:+.3f}  [{low:+.3f}, {high:+.3f}]")
    if _OUTPUT.value:
        with atomic_file(Path(_OUTPUT.value)) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)

r"""Scores a nano checkpoint: held-out generated images and clips, and real EndoVis 2018 frames.

  python -m experiments.promptable_sam2.evaluate_nano --checkpoint nano \
    --images 100 --clips 24 --endovis FOLDER --output scores.json

Path:    checkpoint -> predictors -> [evaluate_nano] -> scores
Errors:  see `scoring`, which says what is measured and how.
"""

import json
import pathlib
import time
from typing import Any

from absl import app, flags

from experiments.promptable_sam2 import scoring
from surgjax.checkpoints.atomic import atomic_file
from surgjax.inference import ImagePredictor, VideoPredictor
from surgjax.synthetic.build import CLIP_OFFSET
from surgjax.synthetic.config import PRESETS

_CHECKPOINT = flags.DEFINE_string("checkpoint", "nano", "Name, file or folder of the weights.")
_IMAGES = flags.DEFINE_integer("images", 100, "Held-out generated images.")
_CLIPS = flags.DEFINE_integer("clips", 24, "Held-out generated clips.")
_SCENES = flags.DEFINE_enum("scenes", "simple", sorted(PRESETS), "What the scenes look like.")
_SEED = flags.DEFINE_integer(
    "seed", 12_000_000, "First scene; from 10,000,000 on no scene is trained on."
)
_FRAMES = flags.DEFINE_integer("frames", 16, "Frames of a clip.")
_ENDOVIS = flags.DEFINE_string("endovis", None, "Folder of X.jpg with X_mask.png; optional.")
_GRABCUT_SCALE = flags.DEFINE_float(
    "grabcut_scale", 0.5, "Size at which GrabCut runs, 0 = not at all."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the scores; optional.")


def main(_):
    scoring.check_held_out(_SEED.value)
    scores: dict[str, Any] = {"checkpoint": _CHECKPOINT.value, "scenes": _SCENES.value}
    scores["seed"] = _SEED.value
    start = time.monotonic()
    if _IMAGES.value or _ENDOVIS.value:
        images = ImagePredictor.from_checkpoint(_CHECKPOINT.value)
        if _IMAGES.value:
            seeds = range(_SEED.value, _SEED.value + _IMAGES.value)
            scores["images"] = scoring.score_images(images, seeds, _SCENES.value)
            print("held-out images", scores["images"], flush=True)
        if _ENDOVIS.value:
            scores["endovis"] = scoring.score_endovis(images, _ENDOVIS.value, _GRABCUT_SCALE.value)
            shown = {k: v for k, v in scores["endovis"].items() if k != "rows"}
            print("EndoVis 2018 frames, tight boxes", shown, flush=True)
    if _CLIPS.value:
        videos = VideoPredictor.from_checkpoint(_CHECKPOINT.value, keep_records=False)
        first = _SEED.value + CLIP_OFFSET
        seeds = range(first, first + _CLIPS.value)
        scores["clips"] = scoring.score_clips(videos, seeds, _FRAMES.value, _SCENES.value)
        print("held-out clips", scores["clips"], flush=True)
    print(f"{time.monotonic() - start:.0f} s")
    if _OUTPUT.value:
        with atomic_file(pathlib.Path(_OUTPUT.value)) as temporary:
            temporary.write_text(json.dumps(scores, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main)

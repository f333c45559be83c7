r"""Scores a nano checkpoint: the fixed generated test set, and real EndoVis 2018 frames.

  python -m experiments.promptable_sam2.evaluate_nano --checkpoint nano --endovis FOLDER \
    --output scores.json --pictures FAILURES

Path:    checkpoint, nano_test_set.json -> predictors -> [evaluate_nano] -> scores, worst answers
Errors:  ValueError where a generated scene is not the one of the test set; see `scoring`.
"""

import json
import pathlib
import time
from typing import Any

from absl import app, flags

from experiments.promptable_sam2 import endovis_scoring, scoring
from experiments.promptable_sam2 import nano_test_set as test_set
from experiments.promptable_sam2.failure_pictures import Worst, write_sheet
from surgjax.checkpoints.atomic import atomic_file
from surgjax.inference import ImagePredictor, VideoPredictor
from surgjax.inference.weights import load_weights

_CHECKPOINT = flags.DEFINE_string("checkpoint", "nano", "Name, file or folder of the weights.")
_SCENES = flags.DEFINE_list("scenes", list(test_set.COUNTS), "Presets of generated scenes.")
_IMAGES = flags.DEFINE_integer("images", 1000, "At most so many images of each preset.")
_CLIPS = flags.DEFINE_integer("clips", 1000, "At most so many clips of each preset.")
_PROMPTS = flags.DEFINE_list("prompts", list(scoring.PROMPTS), "Prompts of the clips.")
_ENDOVIS = flags.DEFINE_string("endovis", None, "Folder of X.jpg with X_mask.png; optional.")
_GRABCUT_SCALE = flags.DEFINE_float(
    "grabcut_scale", 0.5, "Size at which GrabCut runs, 0 = not at all."
)
_SIZE = flags.DEFINE_integer("image_size", None, "Input size in pixels; the variant's own if not.")
_CHECK = flags.DEFINE_bool("check", True, "Compare the scenes with the sums of the test set.")
_PICTURES = flags.DEFINE_string("pictures", None, "Folder for sheets of the worst answers.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the scores; optional.")


def _worst(name: str, kept: scoring.Keep) -> None:
    if _PICTURES.value and isinstance(kept, Worst):
        write_sheet(pathlib.Path(_PICTURES.value) / f"{name}.png", kept)


def _check_scenes(manifest: dict[str, Any], images: int, clips: int) -> None:
    """Compares the groups of which some scene will be scored."""
    for preset in _SCENES.value:
        for is_clip, count in ((False, images), (True, clips)):
            used = set(test_set.seeds_of(manifest, preset, is_clip)[:count])
            for group in manifest["groups"]:
                is_of = group["preset"] == preset and (group["frames"] > 1) == is_clip
                if is_of and group["seed"] in used:
                    test_set.check(group)


def _keep() -> scoring.Keep:
    return Worst() if _PICTURES.value else scoring.keep_nothing


def _score_images(predictor: ImagePredictor, manifest: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for preset in _SCENES.value if _IMAGES.value else ():
        seeds, keep = test_set.seeds_of(manifest, preset, clips=False), _keep()
        found[preset] = scoring.score_images(predictor, seeds[: _IMAGES.value], preset, keep)
        _worst(f"worst_{preset}", keep)
        print(f"{preset} images", found[preset], flush=True)
    return found


def _score_clips(predictor: VideoPredictor, manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for preset in _SCENES.value:
        seeds = test_set.seeds_of(manifest, preset, clips=True)[: _CLIPS.value]
        for prompt in _PROMPTS.value if seeds else ():
            scores = scoring.score_clips(predictor, seeds, test_set.FRAMES, preset, prompt)
            found.setdefault(preset, {})[prompt] = scores
            print(f"{preset} clips, {prompt}", scores, flush=True)
    return found


def main(_):
    for flag, known in ((_SCENES, test_set.COUNTS), (_PROMPTS, scoring.PROMPTS)):
        if unknown := sorted(set(flag.value) - set(known)):
            raise app.UsageError(f"--{flag.name}: {unknown} unknown; expected of {tuple(known)}.")
    start, manifest = time.monotonic(), test_set.load()
    if _CHECK.value:
        _check_scenes(manifest, _IMAGES.value, _CLIPS.value)
    params, config, sha256 = load_weights(_CHECKPOINT.value, _SIZE.value, random_weights=False)
    images = ImagePredictor(params, config)
    scores: dict[str, Any] = {
        "checkpoint": _CHECKPOINT.value,
        "sha256": sha256,
        "image_size": config.image_size,
        "images": _score_images(images, manifest),
    }
    if _ENDOVIS.value:
        keep = _keep()
        scores["endovis"] = endovis_scoring.score_endovis(
            images, _ENDOVIS.value, _GRABCUT_SCALE.value, keep
        )
        _worst("worst_endovis", keep)
        shown = {k: v for k, v in scores["endovis"].items() if k != "rows"}
        print("EndoVis 2018 frames", shown, flush=True)
    if _CLIPS.value:
        videos = VideoPredictor(params, config, keep_records=False)
        scores["clips"] = _score_clips(videos, manifest)
    print(f"{time.monotonic() - start:.0f} s")
    if _OUTPUT.value:
        with atomic_file(pathlib.Path(_OUTPUT.value)) as temporary:
            temporary.write_text(json.dumps(scores, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main)

r"""Finds masks of everything in an image, without prompts.

  python -m experiments.segment_everything --image=PATH --output=DIR

Without --model and --checkpoint the bundled nano is used. `experiments.everything` does the work.
"""

import dataclasses
from typing import Any

from absl import app, flags

from experiments.command import command
from experiments.everything import EverythingOptions, run
from experiments.track_options import MODELS, PRECISIONS
from surgjax.inference.devices import DeviceError

flags.DEFINE_string("image", None, "JPEG, PNG, BMP, TIFF or WebP.", required=True)
flags.DEFINE_string("output", None, "Folder for the results.", required=True)
flags.DEFINE_string("checkpoint", None, ".pt, .safetensors or Orbax folder.")
flags.DEFINE_enum("model", None, MODELS, "Default: nano, or what --checkpoint holds.")
flags.DEFINE_integer("image_size", None, "Default: 256 for nano, else 1024.")
flags.DEFINE_enum("precision", "fp32", PRECISIONS, "Compute precision.")
flags.DEFINE_integer("points_per_side", 32, "Points of the grid along each side.")
flags.DEFINE_integer("points_per_batch", 64, "Points in one call of the decoder.")
flags.DEFINE_float("pred_iou_thresh", 0.8, "Predicted IoU that a mask must exceed.")
flags.DEFINE_float("stability_score_thresh", 0.95, "Stability that a mask must reach.")
flags.DEFINE_float("stability_score_offset", 1.0, "Shift of the logits' threshold for stability.")
flags.DEFINE_float("mask_threshold", 0.0, "Logit that a pixel must exceed.")
flags.DEFINE_float("box_nms_thresh", 0.7, "Box IoU above which the worse of two masks goes.")
flags.DEFINE_integer("crop_n_layers", 0, "Layers of crops; layer k adds 4^k.")
flags.DEFINE_float("crop_nms_thresh", 0.7, "As --box_nms_thresh, between crops.")
flags.DEFINE_float("crop_overlap_ratio", 512 / 1500, "Overlap of crops, of the shorter side.")
flags.DEFINE_integer("crop_n_points_downscale_factor", 1, "Divides the grid's side, per layer.")
flags.DEFINE_integer("min_mask_region_area", 0, "Holes and specks up to it go, low-res pixels.")
flags.DEFINE_bool("use_m2m", False, "Refine each mask once, with itself as a prompt.")
flags.DEFINE_bool("multimask_output", True, "Three masks a point, or one.")
flags.DEFINE_bool("overwrite", False, "Replace the results in --output.")
flags.DEFINE_bool("require_accelerator", False, "Fail where there is only a CPU.")
flags.DEFINE_bool("random_weights", False, "Untrained weights, to try the command.")


def main(argv: list[str]) -> None:
    """Parses flags; bad input ends in one message and exit status 1."""
    with command("segment_everything", argv, errors=(DeviceError,)):
        names = [field.name for field in dataclasses.fields(EverythingOptions)]
        values: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
        run(EverythingOptions(**values))


if __name__ == "__main__":
    app.run(main)

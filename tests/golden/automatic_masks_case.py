"""Images, weights and options of automatic masks, against the original; without torch itself.

Path:    [automatic_masks_case] -> make_automatic_masks (the original) -> automatic_masks.json
         -> test_automatic_masks, tests.parity.test_automatic_masks (ours)
Axes:    image uint8 (H, W, 3), its sides no multiples of anything.
Source:  ours: weights of sam2_debug.npz, with a decoder made to attend sharply.
Differs: as they are, random weights answer every point with nearly the same mask. Gains on the
         decoder's attention make answers depend on the point, and a high threshold for masks cuts
         small ones out of logits that are spread over the whole image. Logits of two frameworks
         agree to 1e-5 of their range, so a pixel that is nearer to the threshold may flip: SLACK
         pixels of a mask may, while which masks there are, in which order, of which point, crop and
         box must be the same. make_automatic_masks refuses cases where the original itself answers
         otherwise once its thresholds are moved by NEAR.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surgjax.inference import AutomaticMaskGenerator, ImagePredictor
from surgjax.models import variants
from surgjax.testing import moving_squares
from tests.train.step_goldens import weights

FILE = Path(__file__).with_name("automatic_masks.json")
CONFIG = variants.get_config("debug")
QUERY_GAIN, OUTPUT_GAIN, LOGIT_GAIN = 16.0, 3.0, 10.0
HEIGHT, WIDTH = 139, 181
SLACK = 2  # pixels of a mask
NEAR = {"mask_threshold": 1e-3, "pred_iou_thresh": 1e-4, "stability_score_thresh": 1e-5}
BASE: dict[str, Any] = dict(
    points_per_side=7,  # 49 points: the last of four batches has one
    points_per_batch=16,
    pred_iou_thresh=0.3,
    stability_score_thresh=0.2713,  # no ratio of small numbers, which would be a tie
    mask_threshold=10.3,
    output_mode="uncompressed_rle",
)
CROPS = dict(crop_n_layers=2, crop_n_points_downscale_factor=2)
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "crops": CROPS,
    "refined": dict(use_m2m=True),
    "cleaned": dict(min_mask_region_area=3),
    "single": dict(multimask_output=False),
    "own_points": dict(
        points_per_side=None, point_grids=[np.array([[0.1, 0.9], [0.5, 0.25], [0.8, 0.6]])]
    ),
    "no_filters": dict(pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=0.4),
    "everything": CROPS | dict(use_m2m=True, min_mask_region_area=2, crop_nms_thresh=0.5),
}


def image() -> np.ndarray:
    """A textured image with two bright squares."""
    return moving_squares(1, HEIGHT, WIDTH)[0]


def _gain(node: dict[str, Any], name: str = "") -> dict[str, Any]:
    gains = {"q_proj": QUERY_GAIN, "out_proj": OUTPUT_GAIN}
    return {
        key: _gain(value, key)
        if isinstance(value, dict)
        else value * np.float32(gains.get(name, 1.0) if key == "kernel" else 1.0)
        for key, value in node.items()
    }


@functools.cache
def params() -> dict[str, Any]:
    """Stored weights with the gains."""
    tree = dict(weights())
    decoder = _gain(tree["sam_mask_decoder"])
    for i in range(4):
        last = decoder[f"output_hypernetworks_mlps_{i}"]["layers_2"]
        last["kernel"] = last["kernel"] * np.float32(LOGIT_GAIN)
    return tree | {"sam_mask_decoder": decoder}


@functools.cache
def predictor() -> ImagePredictor:
    """One for all cases: compiling is what takes time."""
    return ImagePredictor(params(), CONFIG)


def options(case: str) -> dict[str, Any]:
    """All options of a case."""
    return BASE | CASES[case]


def ours(case: str) -> list[dict[str, Any]]:
    """Our records."""
    return [dict(r) for r in AutomaticMaskGenerator(predictor(), **options(case)).generate(image())]


def unpacked(runs: Mapping[str, Any]) -> np.ndarray:
    """The mask of uncompressed runs, written out."""
    values = np.arange(len(runs["counts"])) % 2 == 1
    height, width = runs["size"]
    return np.repeat(values, runs["counts"]).reshape(width, height).T


def compare(
    found: Sequence[Mapping[str, Any]], want: Sequence[Mapping[str, Any]]
) -> tuple[int, float]:
    """Fails where records differ by more than rounding. Pixels that flipped, largest IoU error."""
    assert len(found) == len(want), f"{len(found)} records, {len(want)} expected"
    flipped, error = 0, 0.0
    for row, (a, b) in enumerate(zip(found, want, strict=True)):
        assert list(a) == list(b), f"record {row}: fields {list(a)}, {list(b)} expected"
        for key in ("bbox", "point_coords", "crop_box"):
            assert a[key] == b[key], f"record {row}: {key} {a[key]}, {b[key]} expected"
        differing = int((unpacked(a["segmentation"]) != unpacked(b["segmentation"])).sum())
        assert differing <= SLACK, f"record {row}: {differing} pixels differ"
        assert abs(a["area"] - b["area"]) <= differing
        assert a["area"] == unpacked(a["segmentation"]).sum()
        np.testing.assert_allclose(
            a["stability_score"], b["stability_score"], atol=SLACK / max(b["area"], 1)
        )
        np.testing.assert_allclose(
            a["predicted_iou"], b["predicted_iou"], rtol=0, atol=NEAR["pred_iou_thresh"]
        )
        flipped += differing
        error = max(error, abs(a["predicted_iou"] - b["predicted_iou"]))
    return flipped, error

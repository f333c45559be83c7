"""Parity with the original PyTorch code, `sam2` 1.1.0 from PyPI: `python -m tests.parity.official`.

Path:    reference.build -> surgjax.checkpoints (export) -> sam2's own predictor; ours beside it.
Units:   the clip of clip.py, given to both sides as the same normalised tensors.
Errors:  AssertionError, naming stage, frame and object, where a limit is passed.
Source:  sam2 1.1.0, its YAML files read as they are; CUDA extension off.
Differs: hydra, iopath and torchvision are only needed to build sam2's objects, so three small
         stand-ins take their place here; sam2's video loader is replaced by the given tensors.
"""

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.video_benchmark import official_peer
from surgjax.checkpoints import export_official
from surgjax.inference import ImagePredictor, VideoPredictor
from surgjax.models.variants import get_config
from tests.parity import clip, reference
from tests.parity.compare import Errors, check, record
from tests.parity.conftest import Pair, make_pair

PACKAGE = "sam2==1.1.0"
FOLDER = Path(__file__).resolve().parents[2] / "parity_output" / "sam2"


def fetch(folder: Path = FOLDER) -> None:
    """Installs the pure-Python part of sam2 into its own folder; nothing else sees it."""
    if not (folder / "sam2").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run(
            [*pip, "--no-build-isolation", "--target", str(folder), PACKAGE],
            check=True,
            env={**os.environ, "SAM2_BUILD_CUDA": "0"},
        )
    official_peer.add_to_path(folder)


def build(
    variant: str,
    image_size: int,
    state: dict[str, np.ndarray],
    version: str = "2.1",
    keep_corrections: bool = False,
) -> Any:
    """sam2's video predictor from its own YAML with the builder's post-processing flags.

    Hole filling stays off: it needs the CUDA extension, and ours is off by default.
    """
    fetch()
    config = get_config(variant, version, image_size)
    tree = official_peer.settings(FOLDER, config)
    tree["add_all_frames_to_correct_as_cond"] = keep_corrections
    # The builder's own figures, whatever ours are.
    tree["sam_mask_decoder_extra_args"] = dict(
        dynamic_multimask_via_stability=True,
        dynamic_multimask_stability_delta=0.05,
        dynamic_multimask_stability_thresh=0.98,
    )
    model = official_peer.made_of(tree)
    model.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    # Without autocast a bank that holds no pointer yet is bf16 and meets fp32 weights.
    model.memory_attention.register_forward_pre_hook(
        lambda _, args, kwargs: (args, {**kwargs, "memory": kwargs["memory"].float()}),
        with_kwargs=True,
    )
    return model.eval()


def open_clip(model: Any, frames: torch.Tensor, video_size: tuple[int, int]) -> dict[str, Any]:
    """sam2's inference state on given normalised tensors."""
    module = importlib.import_module("sam2.sam2_video_predictor")
    load = module.load_video_frames
    module.load_video_frames = lambda **_: (frames, *video_size)
    try:
        return model.init_state(video_path="given tensors")
    finally:
        module.load_video_frames = load


def compare_features(pair: Pair, model: Any, frames: torch.Tensor) -> None:
    """Image encoder and projected skips, then one click through decoder and heads."""
    x = frames[:1].permute(0, 2, 3, 1).numpy()
    ours = pair.run("encode_image", x)
    theirs = model.forward_image(frames[:1])["backbone_fpn"]
    for name, want in zip(("s4", "s8", "s16"), theirs, strict=True):
        want = want.permute(0, 2, 3, 1).numpy()
        error = float(np.abs(getattr(ours, name) - want).max())
        print(f"features {name}: max abs error {error:.1e}, std {want.std():.2f}")
        assert error <= 1e-4, f"features {name}: {error:.1e} > 1e-4"


def compare_image(pair: Pair, model: Any, frames: torch.Tensor) -> None:
    """The image predictor's decoder calls: a click, a box, a mask alone, a click on a mask."""
    side, q = pair.config.image_size, pair.config.mask_size
    out = model.forward_image(frames[:1])["backbone_fpn"]
    image = out[2] + model.no_mem_embed.reshape(1, -1, 1, 1)
    ours = ImagePredictor(pair.params, pair.config)
    features = ours.programs.encode(frames[0].permute(1, 2, 0).numpy())
    mask = np.random.default_rng(3).normal(0, 6, (1, q, q)).astype(np.float32)
    click = np.array([[[0.4 * side, 0.6 * side]]], np.float32), np.array([[1]], np.int32)
    box = np.array([[[0.2, 0.3], [0.7, 0.8]]], np.float32) * side, np.array([[2, 3]], np.int32)
    none = np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), np.int32)
    for name, (xy, labels), dense in (
        ("click", click, None),
        ("box", box, None),
        ("mask alone", none, mask),
        ("click on a mask", click, mask),
    ):
        points = (torch.from_numpy(xy), torch.from_numpy(labels)) if labels.size else None
        sparse, embedded = model.sam_prompt_encoder(
            points=points,
            boxes=None,
            masks=None if dense is None else torch.from_numpy(dense)[None],
        )
        want, want_ious, _, _ = model.sam_mask_decoder(
            image_embeddings=image,
            image_pe=model.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=embedded,
            multimask_output=True,
            repeat_image=False,
            high_res_features=out[:2],
        )
        logits, ious, _ = ours._decode(features, xy, labels, dense)
        error = float(np.abs(logits[:, 1:] - want.numpy()).max() / np.ptp(want.numpy()))
        iou_error = float(np.abs(ious[:, 1:] - want_ious.numpy()).max())
        print(f"image, {name}: logits {error:.1e} of their range, IoU {iou_error:.1e}")
        assert error <= 1e-3 and iou_error <= 1e-4, f"image, {name}: {error:.1e}, {iou_error:.1e}"


def compare_clip(pair: Pair, model: Any, frames_u8: np.ndarray, frames: torch.Tensor) -> None:
    """All prompts, forward, a correction, forward and backward from it; both predictors' flows."""
    keep = model.add_all_frames_to_correct_as_cond
    ours = VideoPredictor(
        pair.params,
        pair.config,
        corrections_as_conditioning=keep,
        track_before_first_prompt=True,
    )
    size = frames_u8.shape[1:3]
    state, theirs = ours.init_state(frames_u8), open_clip(model, frames, size)
    corrected = clip.CORRECTION[0]
    from_here = corrected if keep else corrected + 1  # else the correction would be overwritten

    def prompt(frame: int, obj_id: int, what: Any) -> None:
        if isinstance(what, str):
            ours.add_new_mask(state, frame, obj_id, clip.mask_prompt())
            model.add_new_mask(theirs, frame, obj_id, clip.mask_prompt())
        else:
            ours.add_new_points_or_box(state, frame, obj_id, **what)
            model.add_new_points_or_box(
                theirs, frame, obj_id, **{k: np.array(v, np.float32) for k, v in what.items()}
            )

    def propagate(name: str, **options: Any) -> None:
        errors = Errors()
        seen = [frame for frame, *_ in ours.propagate_in_video(state, **options)]
        assert seen == [frame for frame, *_ in model.propagate_in_video(theirs, **options)]
        for obj_id, index in theirs["obj_id_to_idx"].items():
            stored = theirs["output_dict_per_obj"][index]
            for frame in seen:
                found = stored["cond_frame_outputs"].get(frame)
                found = found or stored["non_cond_frame_outputs"][frame]
                want = dict(found, object_pointer=found["obj_ptr"])
                where = f"{name}, object {obj_id}, frame {frame}"
                check(record(state, obj_id, frame), want, where, errors)
        print(f"clip, {name}: {errors}")

    for one in clip.PROMPTS:
        prompt(*one)
    propagate("forward")
    prompt(*clip.CORRECTION)
    propagate("corrected, forward", start_frame_idx=from_here)
    propagate("corrected, backward", start_frame_idx=corrected, reverse=True)


@torch.inference_mode()
def main() -> None:
    """Prints the largest error of every stage and exits with an error where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="tiny", choices=tuple(reference.SIZES))
    parser.add_argument("--image_size", default=512, type=int)
    parser.add_argument("--version", default="2.1", choices=("2.1", "2.0"))
    arguments = parser.parse_args()
    pair = make_pair(
        arguments.variant, arguments.image_size, clip.SEED, clip.SCORE_BIAS, arguments.version
    )
    frames_u8 = clip.frames_u8()
    frames = clip.tensors(frames_u8, arguments.image_size)
    state = export_official(pair.params, pair.config)
    for keep in (True, False):
        print(f"corrections kept as conditioning frames: {keep}")
        model = build(arguments.variant, arguments.image_size, state, arguments.version, keep)
        if keep:
            compare_features(pair, model, frames)
            compare_image(pair, model, frames)
        compare_clip(pair, model, frames_u8, frames)
    print(f"parity with {PACKAGE}: all limits kept")


if __name__ == "__main__":
    main()

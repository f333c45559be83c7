"""Masks of everything in one image file: what `experiments.segment_everything` calls.

Path:    image file -> AutomaticMaskGenerator -> [everything] -> overlay.png, label_map.png,
         masks.json
Axes:    images uint8 (H, W, 3); label maps (H, W).
Units:   seconds; pixels of the image.
Errors:  ValueError, OSError or DeviceError; nothing is left in the output folder then.
Source:  masks.json has the fields of the SA-1B data set (arXiv:2304.02643), with our ids.
Differs: SAM 2 ships a notebook; here there is a command.
"""

import dataclasses
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments.track_options import check_model
from surgjax.inference.automatic_mask_options import AutomaticMaskOptions
from surgjax.inference.automatic_masks import AutomaticMaskGenerator, MaskRecord
from surgjax.inference.compilation_cache import enable_cache
from surgjax.inference.devices import describe_devices, require_accelerator
from surgjax.inference.image import ImagePredictor
from surgjax.inference.image_files import IMAGE_SUFFIXES, read_image
from surgjax.inference.mask_writer import write_file, write_palette_png
from surgjax.inference.output_folder import OutputFolder
from surgjax.inference.progress import Progress
from surgjax.inference.weights import load_weights
from surgjax.ops import run_lengths
from surgjax.versions import package_versions
from surgjax.viz.mask_mosaic import draw_masks, paint

RESULTS = ("overlay.png", "label_map.png", "masks.json")
MOST_PALETTE_MASKS = 254  # 255 means "ignore" in palette PNGs


@dataclasses.dataclass(frozen=True)
class EverythingOptions:
    """The flags of the command; the same names and defaults."""

    image: str
    output: str
    checkpoint: str | None = None
    model: str | None = None
    image_size: int | None = None
    precision: str = "fp32"
    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.8
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    mask_threshold: float = 0.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: int = 0
    use_m2m: bool = False
    multimask_output: bool = True
    overwrite: bool = False
    require_accelerator: bool = False
    random_weights: bool = False

    def of_masks(self) -> dict[str, Any]:
        """Those that AutomaticMaskGenerator takes, for compressed run lengths."""
        names = {field.name for field in dataclasses.fields(AutomaticMaskOptions)}
        given = {k: v for k, v in dataclasses.asdict(self).items() if k in names}
        return given | {"output_mode": "coco_rle"}


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        what = "is a folder, an image file expected" if path.is_dir() else "does not exist"
        raise ValueError(f"--image {path} {what}.")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"--image {path}: one of {', '.join(IMAGE_SUFFIXES)} expected.")
    try:
        return read_image(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"--image {path} cannot be read: {error}.") from None


def load_predictor(options: EverythingOptions) -> tuple[ImagePredictor, str | None]:
    """The predictor that the options ask for, and the sha256 of its checkpoint."""
    name = options.checkpoint or options.model or "nano"
    params, config, sha256 = load_weights(name, options.image_size, options.random_weights)
    if options.checkpoint and options.model not in (None, config.name):
        raise ValueError(
            f"--model={options.model}, but {options.checkpoint} holds {config.name}; "
            "leave --model out, it is inferred."
        )
    predictor = ImagePredictor(params, config, options.precision)
    predictor.programs.on_compile = lambda what: None  # one notice stands for all programs
    return predictor, sha256


def run(
    options: EverythingOptions,
    load: Callable[[EverythingOptions], tuple[ImagePredictor, str | None]] = load_predictor,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Everything but flag parsing. Returns what masks.json holds."""
    check_model(options)
    AutomaticMaskOptions(**options.of_masks())
    folder = OutputFolder(options.output, RESULTS, options.overwrite)
    for name in ("image", "checkpoint"):
        if getattr(options, name):
            folder.check_input(f"--{name}", getattr(options, name))
    image = _read(Path(options.image))
    cached = _announce(options, image, say)
    work = folder.open()
    try:
        predictor, sha256 = load(options)
        result, seconds = _generate(options, predictor, image, cached, say)
        summary = _summary(options, predictor, sha256, image, result, seconds)
        _write(work, image, result, summary)
    except BaseException:
        folder.discard()
        raise
    results = folder.finish()
    say(f"{len(result)} masks in {seconds:.1f} s (without compiling)")
    if not result:
        say(
            "  no mask passed: lower --pred_iou_thresh and --stability_score_thresh, or raise "
            "--points_per_side."
        )
    say("results:\n" + "\n".join(f"  {path}" for path in results))
    return summary


def _announce(options: EverythingOptions, image: np.ndarray, say: Callable[[str], None]) -> bool:
    """Device and input in a line each. Returns whether programs will be cached."""
    if options.require_accelerator:
        require_accelerator()
    say(f"device: {describe_devices()}")
    say(f"image: {options.image}, {image.shape[1]}x{image.shape[0]}")
    try:
        enable_cache()
    except OSError as error:
        say(f"  compiled programs are not kept: {error}")
        return False
    return True


def _generate(
    options: EverythingOptions,
    predictor: ImagePredictor,
    image: np.ndarray,
    cached: bool,
    say: Callable[[str], None],
) -> tuple[list[MaskRecord], float]:
    """Records, and the seconds they took without compiling."""
    generator = AutomaticMaskGenerator(predictor, **options.of_masks())
    config, weights = predictor.config, options.checkpoint or "bundled weights"
    weights = "random weights: masks mean nothing" if options.random_weights else weights
    say(f"model: {config.name} ({weights}), {config.image_size} px, {options.precision}")
    progress = Progress("masks", generator.batches(image.shape[:2]), unit="batches")
    say("compiling...")
    start = time.perf_counter()

    def on_batch() -> None:
        if not progress.done:
            note = " (cached for next time)" if cached else ""
            say(f"compiling... done {predictor.programs.compile_seconds:.1f} s{note}")
            progress.first_step()
        else:
            progress.step()

    try:
        records = generator.generate(image, on_batch)
    finally:
        progress.finish()
    return records, time.perf_counter() - start - predictor.programs.compile_seconds


def _summary(
    options: EverythingOptions,
    predictor: ImagePredictor,
    sha256: str | None,
    image: np.ndarray,
    records: list[MaskRecord],
    seconds: float,
) -> dict[str, Any]:
    return {
        "image": {
            "file_name": Path(options.image).name,
            "width": image.shape[1],
            "height": image.shape[0],
        },
        "annotations": [{"id": i, **record} for i, record in enumerate(records, 1)],
        "options": options.of_masks(),
        "seconds": round(seconds, 3),
        "compile_seconds": round(predictor.programs.compile_seconds, 3),
        "device": describe_devices(),
        "model": predictor.config.name,
        "image_size": predictor.config.image_size,
        "precision": options.precision,
        "checkpoint_sha256": sha256,
        "versions": package_versions(),
    }


def _write(
    folder: Path, image: np.ndarray, records: list[MaskRecord], summary: dict[str, Any]
) -> None:
    label_map = paint(
        [run_lengths.to_mask(record["segmentation"]) for record in records], image.shape[:2]
    )
    write_file(folder / "overlay.png", _png(draw_masks(image, label_map)))
    if len(records) <= MOST_PALETTE_MASKS:
        write_palette_png(folder / "label_map.png", label_map.astype(np.uint8))
    else:
        write_file(folder / "label_map.png", _png(label_map.astype(np.uint16)))
    text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
    write_file(folder / "masks.json", text.encode())


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()

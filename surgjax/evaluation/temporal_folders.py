"""Temporal consistency of folders of predicted label maps, with optical flow where it is given.

Path:    mask_folders (SequenceFiles) -> [score_sequence] -> folder_protocols -> report
Axes:    label maps are uint8 (H, W); flow is float (h, w, 2) as x, y.
Units:   IoU_T, IoU_OF, Dice_OF as fractions of 1, CD_T in pixels at 299 x 299.
Errors:  MaskFolderError naming the file or folder: fewer than two frames, differing sizes, flow
         that is missing or of another form.
Source:  `surgjax.metrics.temporal` and `optical_flow`.
Differs: flow comes from files (SEQUENCE/STEM.npy or .flo) or a function, not from a network. A flow
         file is named after the frame from which its vectors start: `literal` needs t -> t + 1, the
         file of frame t; `corrected` needs t + 1 -> t, the file of frame t + 1.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from surgjax.evaluation.mask_folders import (
    LabelFile,
    MaskFolderError,
    SequenceFiles,
    check_sizes,
    read_label_file,
)
from surgjax.evaluation.options import FlowFunction, Options
from surgjax.metrics import optical_flow, temporal

State = tuple[temporal.State, temporal.State]  # neighbouring frames; along the flow


def read_flow(path: Path) -> np.ndarray:
    """A .npy or Middlebury .flo file, float32 (h, w, 2)."""
    try:
        if path.suffix == ".flo":
            flow = cv2.readOpticalFlow(str(path))
            if flow is None or not flow.size:
                raise ValueError("no Middlebury flow")
        else:
            flow = np.load(path, allow_pickle=False)
        optical_flow.check_flow(flow)
        return flow
    except (OSError, ValueError, EOFError, cv2.error) as error:
        raise MaskFolderError(f"{path}: it holds no optical flow ({error}).") from None


def flow_files(folder: str, is_flat: bool, mode: str) -> FlowFunction:
    """A function that reads the flow of a pair from a folder."""
    root = Path(folder)
    if not root.is_dir():
        raise MaskFolderError(f"--flow {root}: no such folder.")

    def find(sequence: str, stem: str, following: str) -> np.ndarray:
        here = root if is_flat else root / sequence
        start, end = (stem, following) if mode == "literal" else (following, stem)
        for suffix in (".npy", ".flo"):
            if (path := here / f"{start}{suffix}").is_file():
                return read_flow(path)
        raise MaskFolderError(
            f"{here / start}.npy: no such flow, nor .flo; --mode={mode} needs the flow from frame "
            f"{start} to {end}, named after {start}."
        )

    return find


def score_sequence(sequence: SequenceFiles, options: Options) -> State:
    """Both states of one sequence; the second is empty without a flow."""
    if sequence.objects:
        raise MaskFolderError(
            f"{sequence.folder}: a folder of masks for each object; temporal needs label maps."
        )
    stems = sequence.stems
    if len(stems) < 2:
        raise MaskFolderError(f"{sequence.folder}: {len(stems)} PNG; temporal needs two or more.")
    flow = options.flow
    if isinstance(flow, str):
        flow = flow_files(flow, sequence.is_flat, options.mode)
    pairs, flowed = {}, {}
    last: LabelFile | None = None
    small = np.zeros((0, 0), np.uint8)
    for frame, stem in enumerate(stems):
        file = read_label_file(sequence.frames[stem])
        following = temporal.resize_labels(file.label_map)
        if last is not None:
            check_sizes(file, last)
            pairs[frame - 1] = temporal.score_pair(small, following)
            if flow is not None:
                vectors = flow(sequence.name, stems[frame - 1], stem)
                try:
                    scores = optical_flow.score_pair(small, following, vectors, options.mode)
                except ValueError as error:
                    raise MaskFolderError(f"{file.path}: {error}") from None
                flowed[frame - 1] = scores
        last, small = file, following
    empty = temporal.init_state()
    name = sequence.name
    return temporal.update(empty, name, pairs), temporal.update(empty, name, flowed)


def report(state: State) -> dict[str, Any]:
    """IoU_T, CD_T, and with a flow IoU_OF and Dice_OF; per_label and per_sequence."""
    result = temporal.compute(state[0])
    if not state[1]:
        return result
    flowed = optical_flow.compute(state[1])
    by_label = {row["label"]: row for row in flowed["per_label"]}
    for row in result["per_label"]:
        found = by_label.get(row["label"], {})
        row |= {name: found.get(name, float("nan")) for name in ("IoU_OF", "Dice_OF")}
    for row, found in zip(result["per_sequence"], flowed["per_sequence"], strict=True):
        row |= found
    return result | {name: flowed[name] for name in ("IoU_OF", "Dice_OF")}

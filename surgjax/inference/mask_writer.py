"""Masks on disk: palette PNGs whose values are object ids, written while tracking runs.

Path:    video (mask logits per frame) -> [mask_writer] -> masks/%05d.png -> viz, metrics
Axes:    mask_logits (O, 1, H, W) in the order of object_ids; a label map is uint8 (H, W).
Units:   frame_index counts decoded frames from 0.
Errors:  OSError when the disk is full; a file that was being written then is not left behind.
Source:  DAVIS 2017: palette PNGs, and its palette, computed by the rule of PASCAL VOC.
Differs: SAM 2's VOS script lets the smaller id win where masks overlap; here the highest logit
         does. Nothing is collected in memory, whatever the length of the video.
"""

import io
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

_STATE = ("tracked", "present", "written", "mean_score")  # arrays of MaskWriter


@cache
def davis_palette() -> bytes:
    """768 bytes: the bits of a value spread over the high bits of red, green and blue."""
    values = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((values >> channel) & 1) << (7 - bit)).astype(np.uint8)
        values = values >> 3
    return colours.tobytes()


def write_file(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all: under another name first, then renamed."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_palette_png(path: Path, label_map: np.ndarray) -> None:
    """A uint8 label map as a palette PNG; the values are kept, the colours are DAVIS's."""
    if label_map.dtype != np.uint8 or label_map.ndim != 2:
        raise ValueError(
            f"label map: uint8 (H, W) expected, {label_map.dtype} {label_map.shape} found"
        )
    image = Image.fromarray(label_map)
    image.putpalette(davis_palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write_file(path, buffer.getvalue())


def read_palette_png(path: Path) -> np.ndarray:
    """The values of a palette (or grey) PNG."""
    with Image.open(path) as image:
        return np.array(image)


class MaskWriter:
    """Writes masks/%05d.png, and masks_per_object/<id>/%05d.png on demand, as frames come in.

    A frame may come twice (`merge=True`: forward, then backward). An object keeps the mask of the
    pass that tracked it first, and objects that are new in the second pass compete with it pixel by
    pixel: for that, the logits of the winning pixels lie compressed beside the masks until
    `drop_logits`, with the label map in the same file, so that one never knows more than the other
    and a frame that comes again after an interruption changes nothing.
    """

    def __init__(
        self,
        folder: Path,
        object_ids: Sequence[int],
        num_frames: int,
        size: tuple[int, int],
        per_object: bool = False,
        merge: bool = False,
    ):
        self.folder, self.size = folder, size
        self.object_ids = list(object_ids)
        self.tracked = np.zeros((num_frames, len(self.object_ids)), bool)
        self.present = np.zeros_like(self.tracked)  # the object has pixels in the label map
        self.written = np.zeros(num_frames, bool)
        self.mean_score = np.full((num_frames, len(self.object_ids)), np.nan, np.float16)
        self._per_object, self._merge = per_object, merge
        self.masks = folder / "masks"
        self.masks.mkdir(exist_ok=True)
        self._object_folders = {i: folder / "masks_per_object" / str(i) for i in self.object_ids}
        for object_folder in self._object_folders.values() if per_object else ():
            object_folder.mkdir(parents=True, exist_ok=True)
        self._logits = folder / "logits"
        if merge:
            self._logits.mkdir(exist_ok=True)

    def state(self) -> dict[str, np.ndarray]:
        """What is known of the frames written so far, for `restore` in a later process."""
        return {name: getattr(self, name) for name in _STATE}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes over what an earlier process wrote into this folder.

        Frames that it wrote after `state` was taken are written again, to the same bytes.
        """
        for name in _STATE:
            mine, found = getattr(self, name), state[name]
            if (found.shape, found.dtype) != (mine.shape, mine.dtype):
                raise ValueError(
                    f"state of masks: {name}: {mine.dtype} {mine.shape} expected, {found.dtype} "
                    f"{found.shape} found"
                )
            mine[:] = found
        for frame_index in np.flatnonzero(self.written).tolist():
            path = self.path(frame_index)
            if not path.is_file() or not path.stat().st_size:
                raise ValueError(f"{path} was written by the earlier part of this run and is gone")

    def path(self, frame_index: int) -> Path:
        """Where the label map of a frame is."""
        return self.masks / f"{frame_index:05d}.png"

    def read(self, frame_index: int) -> np.ndarray:
        """The label map of a frame written before."""
        return read_palette_png(self.path(frame_index))

    def scores(self, frame_index: int) -> dict[int, float]:
        """Mean probability inside each object's own mask, for objects that have one here."""
        row = self.mean_score[frame_index]
        return {i: float(s) for i, s in zip(self.object_ids, row, strict=True) if np.isfinite(s)}

    def add(self, frame_index: int, object_ids: Sequence[int], mask_logits: np.ndarray) -> None:
        """Takes the logits of a frame, writes its masks."""
        if mask_logits.shape != (len(object_ids), 1, *self.size):
            raise ValueError(
                f"frame {frame_index}: mask logits {mask_logits.shape} for {len(object_ids)} "
                f"objects of a {self.size} video."
            )
        again = self._merge and self.written[frame_index]
        columns = [self.object_ids.index(i) for i in object_ids]
        use = [
            place
            for place, column in enumerate(columns)
            if not (again and self.tracked[frame_index, column])
            and float(mask_logits[place].max()) > -1000  # -1024: this pass does not track it here
        ]
        if again and not use:
            return
        best = np.zeros(self.size, np.float32)  # background: a mask needs a logit above 0
        label_map = np.zeros(self.size, np.uint8)
        if again:
            label_map, logits = self._load_logits(frame_index)
            best[label_map > 0] = logits
        for place in use:
            logits = mask_logits[place, 0]
            wins = logits > best
            label_map[wins] = object_ids[place]
            best[wins] = logits[wins]
            inside = logits[logits > 0]
            if inside.size:
                score = np.mean(1 / (1 + np.exp(-inside)), dtype=np.float64)
                self.mean_score[frame_index, columns[place]] = score
            if self._per_object:
                mask = np.where(logits > 0, object_ids[place], 0).astype(np.uint8)
                self._write_object(frame_index, object_ids[place], mask)
        if self._merge:
            data = label_map.tobytes() + best[label_map > 0].astype(np.float32).tobytes()
            write_file(self._logits_path(frame_index), zlib.compress(data, 1))
        write_palette_png(self.path(frame_index), label_map)
        self.written[frame_index] = True
        seen = np.bincount(label_map.ravel(), minlength=256) > 0
        self.present[frame_index] = seen[self.object_ids]
        for place in use:
            self.tracked[frame_index, columns[place]] = True

    def fill(self, frames: Iterable[int]) -> None:
        """All-zero masks for frames where nothing was tracked."""
        nothing = np.zeros(self.size, np.uint8)
        for frame_index in frames:
            if not self.written[frame_index]:
                write_palette_png(self.path(frame_index), nothing)
                self.written[frame_index] = True
        if not self._per_object:
            return
        for frame_index in np.flatnonzero(self.written):
            for object_id, object_folder in self._object_folders.items():
                if not (object_folder / f"{frame_index:05d}.png").exists():
                    self._write_object(int(frame_index), object_id, nothing)

    def drop_logits(self) -> None:
        """Removes what only merging needed."""
        if self._merge and self._logits.exists():
            for path in self._logits.iterdir():
                path.unlink()
            self._logits.rmdir()

    def _write_object(self, frame_index: int, object_id: int, mask: np.ndarray) -> None:
        write_palette_png(self._object_folders[object_id] / f"{frame_index:05d}.png", mask)

    def _logits_path(self, frame_index: int) -> Path:
        return self._logits / f"{frame_index:05d}.z"

    def _load_logits(self, frame_index: int) -> tuple[np.ndarray, np.ndarray]:
        data = zlib.decompress(self._logits_path(frame_index).read_bytes())
        pixels = self.size[0] * self.size[1]
        label_map = np.frombuffer(data, np.uint8, pixels).reshape(self.size)
        return label_map.copy(), np.frombuffer(data[pixels:], np.float32)

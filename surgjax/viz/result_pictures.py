"""The pictures of one tracked video: overlay.mp4 and sheet.png, drawn frame by frame.

Path:    frames + label maps -> [result_pictures] -> overlay.mp4, sheet.png
Axes:    frame uint8 (H, W, 3) RGB; label_map uint8 (H, W).
Units:   frame_index counts decoded frames from 0; fps in frames per second.
Errors:  OSError when a file cannot be written; an overlay without its end is removed.
Source:  ours.
Differs: nothing to compare with.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from surgjax.viz.contact_sheet import ContactSheet
from surgjax.viz.overlay import PromptMarks, draw_overlay
from surgjax.viz.video_writer import VideoWriter


class ResultPictures:
    """`add` frames in order, then `close`; `save_sheet` writes the contact sheet of those added."""

    def __init__(
        self,
        folder: Path,
        frames: Sequence[int],
        size: tuple[int, int],
        fps: float,
        names: Mapping[int, str | None],
    ):
        self.folder, self.names = folder, names
        self.sheet = ContactSheet(frames)
        self.video = VideoWriter(folder / "overlay.mp4", fps, *size)

    def add(
        self,
        frame_index: int,
        frame: np.ndarray,
        label_map: np.ndarray,
        scores: Mapping[int, float],
        marks: Sequence[PromptMarks],
    ) -> None:
        """Draws one frame into the overlay, and into the sheet if it is one of its tiles."""
        caption = f"frame {frame_index}"
        picture = draw_overlay(frame, label_map, self.names, scores, marks, caption)
        self.sheet.add(frame_index, picture)
        try:
            self.video.write(picture)
        except OSError:
            self.video.discard()
            raise

    def close(self) -> None:
        """Completes overlay.mp4 with the frames added so far."""
        try:
            self.video.close()
        except OSError:
            self.video.discard()
            raise

    def save_sheet(self) -> None:
        """Writes sheet.png, if any frame of it was drawn."""
        if not self.sheet.tiles:
            return
        buffer = io.BytesIO()
        self.sheet.image().save(buffer, "PNG")
        path = self.folder / "sheet.png"
        try:
            path.write_bytes(buffer.getvalue())
        except OSError:
            path.unlink(missing_ok=True)
            raise

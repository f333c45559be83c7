"""A generated video and simple mask shapes, for the scripted session.

Path:    [fake_video] -> fake_session
Axes:    frames uint8 (H, W, 3) RGB; masks bool (H, W).
Units:   pixels; frames count from 0.
Source:  ours.
Differs: nothing to compare with.
"""

import numpy as np

SPEED = 1  # pixels to the right in a frame, of the disc and of every tracked mask


class FakeVideo:
    """A disc that goes right and comes back in on the left, over a still bar and a gradient."""

    def __init__(self, num_frames: int = 120, width: int = 320, height: int = 240):
        self.num_frames, self.width, self.height = num_frames, width, height
        rows, columns = np.mgrid[:height, :width]
        self._background = np.stack(
            [columns * 160 // width + 40, rows * 120 // height + 20, 60 + 0 * rows], axis=-1
        ).astype(np.uint8)
        bar = slice(height * 3 // 4, height * 3 // 4 + max(height // 20, 1))
        self._background[bar, width // 8 : width * 7 // 8] = (150, 160, 170)

    def __getitem__(self, frame: int) -> np.ndarray:
        if not 0 <= frame < self.num_frames:
            raise IndexError(f"frame {frame}: the video has frames 0 to {self.num_frames - 1}.")
        image = self._background.copy()
        image[self.disc_mask(frame)] = (230, 200, 90)
        return image

    def disc_mask(self, frame: int) -> np.ndarray:
        """Where the disc is: radius a tenth of the width, centre at half the height."""
        x = (self.width // 4 + SPEED * frame) % self.width
        return self.disc(x, self.height // 2, self.width // 10)

    def disc(self, x: int, y: int, radius: float) -> np.ndarray:
        """All pixels within `radius` of (x, y)."""
        rows, columns = np.ogrid[: self.height, : self.width]
        return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2

    def rectangle(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """Both corners belong to it."""
        mask = np.zeros((self.height, self.width), bool)
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
        return mask

    def stroke(self, points: list[list[int]], radius: float) -> np.ndarray:
        """Discs along the line through the points."""
        mask = np.zeros((self.height, self.width), bool)
        for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False):
            steps = max(abs(x1 - x0), abs(y1 - y0), 1)
            for i in range(steps + 1):
                x, y = x0 + (x1 - x0) * i // steps, y0 + (y1 - y0) * i // steps
                mask |= self.disc(x, y, radius)
        return mask

    def empty(self) -> np.ndarray:
        """No pixel."""
        return np.zeros((self.height, self.width), bool)


def moved(mask: np.ndarray, frames: int) -> np.ndarray:
    """The mask after so many frames (before them, where negative); what leaves is gone."""
    shift, result = SPEED * frames, np.zeros_like(mask)
    if abs(shift) >= mask.shape[1]:
        return result
    if shift >= 0:
        result[:, shift:] = mask[:, : mask.shape[1] - shift]
    else:
        result[:, :shift] = mask[:, -shift:]
    return result

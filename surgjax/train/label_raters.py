"""Training masks as several annotators would have drawn them, one annotator to a video.

Path:    instance maps of prepared sets -> [label_raters] -> data.clips
Axes:    instance maps [H, W] uint8 or uint16.
Units:   0 background, the largest value of the type unknown; both stay as they are.
Errors:  ValueError for no rater or an unknown one, a negative seed, or a video of more than 254
         objects.
Source:  the raters of `synthetic.annotators`, as a model of sets that different people annotated.
Differs: who annotates a video depends on seed and video alone, and so does every mask; evaluation
         never goes through here.
"""

import dataclasses
import zlib

import numpy as np

from surgjax.data.index import VideoEntry
from surgjax.synthetic.annotators import RATERS, annotate

_SALT = 91
_MOST_OBJECTS = 254


@dataclasses.dataclass(frozen=True)
class VideoRaters:
    """Gives every video to one of `raters`; calling it redraws one of its maps."""

    raters: tuple[str, ...] = RATERS
    seed: int = 0

    def __post_init__(self):
        unknown = [name for name in self.raters if name not in RATERS]
        if not self.raters or unknown:
            found = ", ".join(map(str, self.raters)) or "none"
            raise ValueError(f"raters: expected some of {', '.join(RATERS)}, found {found}.")
        if self.seed < 0:
            raise ValueError(f"raters seed: expected 0 or more, found {self.seed}.")

    def rater_of(self, video_id: str) -> str:
        """Whose video it is."""
        rng = np.random.default_rng((_SALT, self.seed, zlib.crc32(video_id.encode())))
        return self.raters[int(rng.integers(len(self.raters)))]

    def __call__(self, stored: np.ndarray, video: VideoEntry, position: int) -> np.ndarray:
        """The rater's version of a frame's instance map; values that are no object become 0."""
        ids = np.array([item.id for item in video.objects], np.int64)
        if len(ids) > _MOST_OBJECTS:
            raise ValueError(
                f"{video.video_id}: raters draw up to {_MOST_OBJECTS} objects, found {len(ids)}."
            )
        unknown = np.iinfo(stored.dtype).max
        number_of = np.zeros(unknown + 1, np.uint8)
        number_of[ids] = np.arange(1, len(ids) + 1)
        # A stream of its own for every frame of every video; the rater's habit stays the same.
        frame = (zlib.crc32(video.video_id.encode()) << 32) + position
        drawn = annotate(number_of[stored], self.rater_of(video.video_id), self.seed, frame)
        id_of = np.concatenate([[0], ids]).astype(stored.dtype)
        return np.where(stored == unknown, stored, id_of[drawn])

"""What a protocol may be told beyond its folders.

Path:    flags of experiments.evaluate -> [Options] -> folder_protocols
Axes:    none.
Units:   none.
Errors:  ValueError naming the flag that the protocol does not know.
Source:  ours.
Differs: nothing to compare with.
"""

import dataclasses
from collections.abc import Callable, Collection

import numpy as np

# (sequence, stem of the frame, stem of the next) -> flow, float (h, w, 2) as x, y.
FlowFunction = Callable[[str, str, str], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Options:
    """Defaults are each protocol's own rule."""

    keep_first_and_last: bool = False  # davis17, sav: score the first and last annotated frame
    mode: str = "corrected"  # or "literal": with the reference's defects
    num_classes: int | None = None  # endovis_type (7), dice (any)
    flow: str | FlowFunction | None = None  # temporal: folder of flow files, or a function
    similarity: str = "mask"  # hota: IoU of the objects' pixels, or of the "box" around them

    def check(self, protocol: str, known: Collection[str]) -> None:
        """Refuses what would be ignored without a word."""
        for field in dataclasses.fields(self):
            if getattr(self, field.name) != field.default and field.name not in known:
                raise ValueError(f"--{field.name}: protocol {protocol} does not use it.")
        if self.mode not in ("corrected", "literal"):
            raise ValueError(f"--mode {self.mode}: expected corrected or literal.")
        if self.similarity not in ("mask", "box"):
            raise ValueError(f"--similarity {self.similarity}: expected mask or box.")
        if self.num_classes is not None and not 1 <= self.num_classes <= 254:
            raise ValueError(f"--num_classes {self.num_classes}: expected 1 to 254.")

    def stated(self, known: Collection[str]) -> dict[str, object]:
        """The values that a protocol used, for its report."""
        values = {name: getattr(self, name) for name in sorted(known)}
        return {k: v if v is None or isinstance(v, bool | int | str) else "function"
                for k, v in values.items()}  # fmt: skip

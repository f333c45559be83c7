"""What the page of a report is told beside the report: images for its pictures, prompted frames.

Path:    flags of experiments.evaluate -> [PageOptions] -> html_report
Axes:    none.
Units:   a frame is named by the stem of its files.
Errors:  ValueError naming the flag: no such folder, a stem that no sequence has, a protocol whose
         page shows no frames.
Source:  ours.
Differs: nothing to compare with.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surgjax.evaluation import mask_folders
from surgjax.metrics.object_scores import PRESETS

FIRST = "first"


@dataclasses.dataclass(frozen=True)
class PageOptions:
    """Both are for curves and pictures, which only protocols with scores of objects have."""

    frames: str | None = None  # folder of images
    prompted: tuple[str, ...] = ()  # stems, of all sequences alike; "first": that of each sequence

    def check(self, protocol: str, ground_truth: str | None) -> None:
        """Refuses what would be ignored without a word, before anything is scored."""
        for name in ("frames", "prompted"):
            if getattr(self, name) and protocol not in PRESETS:
                raise ValueError(
                    f"--{name}: the page of protocol {protocol} shows no frames; "
                    f"{', '.join(PRESETS)} do."
                )
        if self.frames and not Path(self.frames).is_dir():
            raise ValueError(f"--frames {self.frames}: no such folder.")
        if self.prompted and ground_truth:
            truth = mask_folders.find_sequences(ground_truth, "--ground_truth")
            known = {stem for files in truth.sequences.values() for stem in files.stems}
            if unknown := [stem for stem in self.prompted if stem not in known | {FIRST}]:
                raise ValueError(
                    f"--prompted {unknown[0]}: no sequence of {ground_truth} has a frame of this "
                    f"stem; expected {FIRST}, or stems such as {min(known)}."
                )

    def marks(self, report: Mapping[str, Any]) -> dict[str | tuple[str, int], list[str]]:
        """Sequence -> stems of its prompted frames."""
        return {
            sequence: [names[0] if stem == FIRST else stem for stem in self.prompted]
            for sequence, names in report.get("stems", {}).items()
        }

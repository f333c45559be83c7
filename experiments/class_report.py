"""What tracked objects are, over a video: into summary.json, labels of the overlay, classes.csv.

Path:    VideoPredictor.class_probabilities -> [class_report] -> tracking
Axes:    probabilities [K] over the instruments of the text bank.
Units:   probabilities in 0..1; frames count from 0.
Source:  ours.
Differs: nothing to differ from. A mean is over frames whose mask shows the object.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surgjax.inference.mask_writer import write_file
from surgjax.inference.object_classes import ClassTally
from surgjax.text.text_bank import TextBank

FILE = "classes.csv"
_DIGITS = 4


class ClassReport:
    """Takes in frames as they are tracked."""

    def __init__(self, bank: TextBank, per_frame: bool):
        self.bank, self.per_frame = bank, per_frame
        self._tallies: dict[int, ClassTally] = {}
        self._rows: dict[tuple[int, int], np.ndarray] = {}

    def add(
        self,
        frame_index: int,
        object_ids: list[int],
        mask_logits: np.ndarray,
        probabilities: Mapping[int, np.ndarray],
    ) -> None:
        """mask_logits (objects, 1, H, W) in the order of object_ids."""
        for object_id, logits in zip(object_ids, mask_logits, strict=True):
            if object_id not in probabilities or not (logits > 0).any():
                continue
            empty = ClassTally(np.zeros(len(self.bank.names)))
            self._tallies.setdefault(object_id, empty).add(probabilities[object_id])
            if self.per_frame:
                self._rows[frame_index, object_id] = probabilities[object_id]

    def state(self) -> dict[str, np.ndarray]:
        """All that was added so far, as arrays; for `restore` in a later process."""
        ids, names = list(self._tallies), len(self.bank.names)
        rows = list(self._rows.values())
        return {
            "ids": np.array(ids, np.int64),
            "totals": np.array([self._tallies[i].total for i in ids]).reshape(-1, names),
            "frames": np.array([self._tallies[i].frames for i in ids], np.int64),
            "row_keys": np.array(list(self._rows), np.int64).reshape(-1, 2),
            "rows": np.array(rows, np.float32).reshape(-1, names),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes over what an earlier process had added."""
        counted = zip(state["ids"].tolist(), state["totals"], state["frames"], strict=True)
        self._tallies = {i: ClassTally(np.array(total), int(n)) for i, total, n in counted}
        keys = (tuple(key) for key in state["row_keys"].tolist())
        self._rows = {(t, i): row for (t, i), row in zip(keys, state["rows"], strict=True)}

    def best(self, object_id: int) -> tuple[str, float] | None:
        """The likeliest class with its mean probability; None for an object that was never seen."""
        tally = self._tallies.get(object_id)
        mean = None if tally is None else tally.mean()
        if mean is None:
            return None
        k = int(mean.argmax())
        return self.bank.names[k], float(mean[k])

    def label(self, object_id: int, name: str | None) -> str | None:
        """The object's name with its class behind it, for the overlay."""
        best = self.best(object_id)
        if best is None:
            return name
        said = f"[{best[0]} {best[1]:.2f}]"
        return f"{name} {said}" if name else said

    def of_object(self, object_id: int) -> dict[str, Any]:
        """Entries of summary.json: the best class, and the mean of every one."""
        best, tally = self.best(object_id), self._tallies.get(object_id)
        mean = None if tally is None else tally.mean()
        if best is None or mean is None:
            return {"class": None, "class_probabilities": None}
        means = zip(self.bank.names, mean.tolist(), strict=True)
        return {
            "class": best[0],
            "class_probabilities": {name: round(value, _DIGITS) for name, value in means},
        }

    def about(self) -> dict[str, Any]:
        """Which bank it was, for summary.json."""
        return {
            "kind": self.bank.kind,
            "classes": len(self.bank.names),
            "sha256": self.bank.sha256(),
        }

    def write(self, folder: Path) -> None:
        """classes.csv: a line for every frame and object in sight, by frame."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["frame", "object", "class", *self.bank.names])
        for (frame_index, object_id), row in sorted(self._rows.items()):
            best = self.bank.names[int(row.argmax())]
            writer.writerow([frame_index, object_id, best, *(f"{value:.4f}" for value in row)])
        write_file(folder / FILE, text.getvalue().encode())

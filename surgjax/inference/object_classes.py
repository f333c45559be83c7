"""What a tracked object is: probabilities over the texts of a bank, and their mean over a video.

Path:    TrackOutput.semantic -> [object_classes] -> VideoPredictor, experiments.track
Axes:    semantic vectors [512], probabilities [K] over the instruments of the bank.
Units:   probabilities in 0..1.
Errors:  ValueError for a model without a semantic token, for a bank that does not fit, and
         for one that differs from what the weights were trained with (`models.trained_bank`).
Source:  SAM2S, arXiv:2511.16618, temporal semantic learning.
Differs: done on the host, so that no program depends on a bank.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from surgjax.layers.semantic_head import MAX_TEMPERATURE, MIN_TEMPERATURE
from surgjax.models.trained_bank import check_bank
from surgjax.models.variants import TEXT_DIM, Sam2Config
from surgjax.text.text_bank import TextBank


class ObjectClassifier:
    """Compares semantic vectors of one model with one bank."""

    def __init__(self, bank: TextBank, params: Mapping, config: Sam2Config):
        if not config.semantic_token:
            raise ValueError(
                f"text bank: the model {config.name} has no semantic token; it cannot say what an "
                "object is."
            )
        self.bank = bank.instruments()  # which alone are learned
        check_bank(self.bank, config.text_bank)
        width = self.bank.vectors.shape[1]
        if width != TEXT_DIM:
            raise ValueError(f"text bank: vectors of {TEXT_DIM} expected, found {width}.")
        learned = float(np.asarray(params["semantic"]["temperature"])[0])
        self.temperature = min(max(learned, MIN_TEMPERATURE), MAX_TEMPERATURE)

    def probabilities(self, vector: np.ndarray) -> np.ndarray:
        """[K] float32 of a unit vector [512]."""
        scores = self.bank.vectors.astype(np.float64) @ vector.astype(np.float64)
        weights = np.exp((scores - scores.max()) / self.temperature)
        return (weights / weights.sum()).astype(np.float32)


@dataclasses.dataclass
class ClassTally:
    """Sums of one object's probabilities over the frames that show it."""

    total: np.ndarray  # [K] float64
    frames: int = 0

    def add(self, probabilities: np.ndarray) -> None:
        self.total += probabilities
        self.frames += 1

    def mean(self) -> np.ndarray | None:
        """[K]; None for an object that was never seen."""
        return self.total / self.frames if self.frames else None

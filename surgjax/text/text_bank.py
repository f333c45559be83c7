"""The text bank: one unit vector per class, which temporal semantic learning compares with.

Path:    classes -> templates -> clip_tokenizer -> clip_text_encoder -> [text_bank] -> file, TSL
Axes:    vectors [K, D] float32, unit rows; is_instrument [K] bool. D is 512 for ViT-B/32.
Units:   none.
Errors:  ValueError for repeated names, shapes that do not fit, rows that are not of length one, a
         tokenizer and weights of different models.
Source:  SAM2S, arXiv:2511.16618 (text embeddings of an instrument bank); the mean over templates
         as in CLIP, arXiv:2103.00020: normalise, average, normalise.
Differs: a bank of orthogonal rows stands in where nobody has CLIP's weights. It is chosen by name,
         and says what it is in `kind`.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surgjax.text.categories import TextClass
from surgjax.text.clip_text_encoder import ClipTextConfig, encode
from surgjax.text.clip_tokenizer import ClipTokenizer
from surgjax.text.orthogonal_rows import orthogonal_rows
from surgjax.text.templates import Templates
from surgjax.typing import Float32, NDArray, typechecked

CLIP = "CLIP text tower"
ORTHOGONAL = "orthogonal fallback, no language in it"
WIDTH = 512  # of ViT-B/32's text vectors
_UNIT = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class TextBank:
    """Frozen vectors of K classes, and where they are from."""

    names: tuple[str, ...]
    vectors: NDArray  # float32 [K, D], unit rows
    kind: str  # CLIP or ORTHOGONAL, shown in every report
    is_instrument: NDArray  # bool [K]; the others contribute nothing to the loss
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)  # what it was made from

    def __post_init__(self):
        count = len(self.names)
        if len(set(self.names)) != count or not count:
            raise ValueError(f"text bank: expected different names, found {list(self.names)}.")
        if self.vectors.dtype != np.float32 or self.vectors.ndim != 2 or len(self.vectors) != count:
            raise ValueError(
                f"text bank: expected float32 vectors [{count}, D], found {self.vectors.dtype} "
                f"{list(self.vectors.shape)}."
            )
        if self.is_instrument.dtype != bool or self.is_instrument.shape != (count,):
            raise ValueError(
                f"text bank: expected is_instrument bool [{count}], found "
                f"{self.is_instrument.dtype} {list(self.is_instrument.shape)}."
            )
        lengths = np.linalg.norm(self.vectors.astype(np.float64), axis=1)
        wrong = ~(np.abs(lengths - 1) <= _UNIT)  # so that nan is wrong too
        if wrong.any():
            k = int(wrong.argmax())
            raise ValueError(
                f"text bank: the vector of {self.names[k]!r} has length {lengths[k]:g}, expected 1."
            )

    def index_of(self, name: str) -> int:
        """The row of a class."""
        if name not in self.names:
            raise ValueError(f"class {name!r}: the text bank has {', '.join(self.names)}.")
        return self.names.index(name)

    def instruments(self) -> "TextBank":
        """The rows that are learned: instruments, in their order. ValueError for fewer than two."""
        if self.is_instrument.sum() < 2:
            raise ValueError(
                "text bank: two instruments or more expected to tell apart, found "
                f"{int(self.is_instrument.sum())} among {', '.join(self.names)}."
            )
        names = tuple(np.array(self.names, object)[self.is_instrument])
        vectors, flags = self.vectors[self.is_instrument], self.is_instrument[self.is_instrument]
        return dataclasses.replace(self, names=names, vectors=vectors, is_instrument=flags)

    def sha256(self) -> str:
        """One sum over kind, names, flags and vectors: which bank a model was trained with."""
        total = hashlib.sha256(json.dumps([self.kind, *self.names]).encode())
        total.update(self.is_instrument.tobytes())
        total.update(np.ascontiguousarray(self.vectors, "<f4").tobytes())
        return total.hexdigest()


def clip_bank(
    params: Mapping[str, Any],
    config: ClipTextConfig,
    tokenizer: ClipTokenizer,
    classes: Sequence[TextClass],
    templates: Templates,
    inputs: Mapping[str, str] | None = None,
) -> TextBank:
    """The bank by CLIP's text tower; a row is the normalised mean over phrases and templates."""
    _check_pair(config, tokenizer)
    texts = [templates.texts(one) for one in classes]
    ids = tokenizer([text for group in texts for text in group], config.context)
    vectors = encode(dict(params), config, ids)
    ends = np.cumsum([len(group) for group in texts])
    rows = [_mean_direction(part) for part in np.split(vectors, ends[:-1])]
    return _bank(classes, np.stack(rows), CLIP, inputs or {})


def orthogonal_bank(classes: Sequence[TextClass], width: int = WIDTH, seed: int = 0) -> TextBank:
    """A stand-in without language: every class as far from every other; the k-th row is fixed."""
    rows = orthogonal_rows(len(classes), width, seed)
    return _bank(classes, rows, ORTHOGONAL, {"seed": str(seed)})


def nearest_pairs(bank: TextBank, count: int) -> list[tuple[float, str, str]]:
    """Cosine and names of the pairs that are hardest to tell apart, the nearest first."""
    cosines = bank.vectors.astype(np.float64) @ bank.vectors.astype(np.float64).T
    first, second = np.triu_indices(len(bank.names), 1)
    order = np.argsort(-cosines[first, second], kind="stable")[:count]
    return [
        (float(cosines[first[k], second[k]]), bank.names[first[k]], bank.names[second[k]])
        for k in order
    ]


@typechecked
def _mean_direction(vectors: Float32[NDArray, "N D"]) -> Float32[NDArray, "D"]:
    wide = vectors.astype(np.float64)
    mean = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).mean(0)
    return (mean / np.linalg.norm(mean)).astype(np.float32)


def _bank(
    classes: Sequence[TextClass], rows: NDArray, kind: str, inputs: Mapping[str, str]
) -> TextBank:
    is_instrument = np.array([one.is_instrument for one in classes])
    return TextBank(tuple(one.name for one in classes), rows, kind, is_instrument, dict(inputs))


def _check_pair(config: ClipTextConfig, tokenizer: ClipTokenizer) -> None:
    """The tower finds a text's end by the last id of the vocabulary."""
    if tokenizer.vocabulary_size != config.vocabulary:
        raise ValueError(
            f"the vocabulary has {tokenizer.vocabulary_size} tokens, the weights "
            f"{config.vocabulary}; do both belong to one model?"
        )
    if tokenizer.end_id != config.vocabulary - 1:
        raise ValueError(
            f"the end token has id {tokenizer.end_id}, expected {config.vocabulary - 1}, the last."
        )

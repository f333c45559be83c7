"""Sentences around a class name, which CLIP reads better than the bare name.

Path:    TextClass -> [templates] -> texts -> clip_tokenizer
Axes:    none.
Units:   none.
Errors:  ValueError for a template without a place for the name.
Source:  the first one is the spec's; the others are ours.
Differs: CLIP's own templates speak of photographs of things; these of operations.
"""

import dataclasses

from surgjax.text.categories import TextClass

PLACE = "{name}"


@dataclasses.dataclass(frozen=True)
class Templates:
    """Sentences for instruments and for tissues."""

    instrument: tuple[str, ...]
    tissue: tuple[str, ...]

    def __post_init__(self):
        for text in (*self.instrument, *self.tissue):
            if text.count(PLACE) != 1:
                raise ValueError(f"template {text!r}: expected {PLACE} in it, once.")
        if not self.instrument or not self.tissue:
            raise ValueError("templates: expected at least one for instruments and for tissues.")

    def texts(self, one: TextClass) -> list[str]:
        """Every phrase of a class in every sentence."""
        chosen = self.instrument if one.is_instrument else self.tissue
        return [text.replace(PLACE, phrase) for phrase in one.phrases for text in chosen]


SURGICAL = Templates(
    instrument=(
        "a surgical {name}",
        "the {name} of the surgeon",
        "the {name} at work inside the body",
        "an endoscopic view of the {name}",
        "the tip of the {name} close to tissue",
        "a frame of an operation with the {name} in it",
        "the {name} in minimally invasive surgery",
    ),
    tissue=(
        "the {name} of a patient",
        "the {name} during an operation",
        "an endoscopic view of the {name}",
        "a frame of an operation with the {name} in it",
        "the {name} in minimally invasive surgery",
    ),
)

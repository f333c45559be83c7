"""Referring expressions: sentences that are true of exactly one object over a range of frames.

    sentence  := "The" [size | colour] noun [doing] [side] [relation] "."
    size      := "largest" | "smallest"    among what the noun names
    noun      := a name | the end of a name ("grasper" for a fenestrated grasper) | a family
    family    := "instrument" | "organ"
    doing     := ["that"] ("is" | "are") verb-ing "the" target    by the script, both in sight
    side      := "on the left" | "on the right" | "at the top" | "at the bottom"
    relation  := ("to the left of" | "to the right of" | "above" | "below") "the" name

Path:    clip -> [expressions]
Axes:    truth tables [T, O].
Units:   frames, both ends included. Places are centres of visible masks: a side means the outer 42
         % of the frame, a relation at least 8 % of it and more than across; the largest is 1.3
         times the next in pixels. Colours are those of the picture, lamp and tint included.
Errors:  ValueError for a sentence that the grammar does not make.
Differs: the side speaks of the subject, not of the target ("The grasper is retracting the
         gallbladder on the left.": the grasper is on the left). A relation needs exactly one
         visible object of the other name. Sentences know no future: each holds in every frame.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import numpy as np

from surgjax.synthetic.procedure import VERBS

if TYPE_CHECKING:
    from surgjax.synthetic.clip import Clip

_ING = {"grasp": "grasping", "cut": "cutting", "clip": "clipping"}
DOING = {_ING.get(verb, verb.removesuffix("e") + "ing"): verb for verb in VERBS}
SIDES = {
    "on the left": (0, -1),
    "on the right": (0, 1),
    "at the top": (1, -1),
    "at the bottom": (1, 1),
}
RELATIONS = {
    "to the left of": (0, -1),
    "to the right of": (0, 1),
    "above": (1, -1),
    "below": (1, 1),
}
COLOURS = (
    *("black", "grey", "white", "red", "pink", "orange", "brown"),
    *("yellow", "green", "blue", "purple"),
)
_OUTER, _APART, _LARGER = 0.42, 0.08, 1.3
_SENTENCE = re.compile(
    rf"The (?:(?P<size>largest|smallest) |(?P<colour>{'|'.join(COLOURS)}) )?(?P<noun>[a-z ]+?)"
    rf"(?: (?:that )?(?:is|are) (?P<doing>{'|'.join(DOING)}) the (?P<target>[a-z ]+?))?"
    rf"(?: (?P<side>{'|'.join(SIDES)}))?"
    rf"(?: (?P<relation>{'|'.join(RELATIONS)}) the (?P<other>[a-z ]+?))?\."
)


@dataclasses.dataclass(frozen=True)
class Expression:
    """In frames `first_frame` to `last_frame` the text is true of `object_id` and no other."""

    text: str
    object_id: int
    first_frame: int
    last_frame: int


def colour_name(rgb_u8) -> str:
    """The plain word for a colour in 0..255."""
    red, green, blue = (float(c) / 255 for c in rgb_u8)
    high, low = max(red, green, blue), min(red, green, blue)
    if high < 0.16:
        return "black"
    spread = high - low
    if spread < 0.18 * high:
        return "white" if high > 0.7 else "grey"
    if high == red:
        hue = 60 * (((green - blue) / spread) % 6)
    elif high == green:
        hue = 60 * ((blue - red) / spread + 2)
    else:
        hue = 60 * ((red - green) / spread + 4)
    if hue < 14 or hue >= 340:
        return "pink" if high > 0.55 and spread < 0.5 * high else "red"
    for limit, word in ((42, "orange"), (70, "yellow"), (165, "green"), (260, "blue")):
        if hue < limit:
            return "brown" if word == "orange" and high < 0.55 else word
    return "purple" if hue < 310 else "pink"


class Scenes:
    """What a clip shows, as tables [T, O] from which sentences are judged."""

    def __init__(self, clip: Clip):
        self.names, self.side = clip.object_names, clip.label_maps.shape[-1]
        self.families = tuple(_family(kind) for kind in clip.object_classes)
        self.visible = clip.visible
        self.verbs, self.targets = clip.actions
        frames, count = self.visible.shape
        self.areas = np.zeros((frames, count))
        self.centres = np.zeros((2, frames, count))
        self.colours = np.full((frames, count), "", object)
        grid = np.mgrid[0 : self.side, 0 : self.side].astype(float).reshape(2, -1)
        for t in range(frames):
            labels = clip.label_maps[t].ravel()

            def mean(weights, labels=labels, t=t):
                total = np.bincount(labels, weights, count + 1)[1:]
                return total / np.maximum(self.areas[t], 1)

            self.areas[t] = np.bincount(labels, minlength=count + 1)[1:]
            self.centres[:, t] = mean(grid[1]), mean(grid[0])
            pixels = clip.frames_u8[t].reshape(-1, 3)
            tones = np.stack([mean(pixels[:, c]) for c in range(3)], -1)
            for k in np.flatnonzero(self.visible[t]):
                self.colours[t, k] = colour_name(tones[k])

    def noun(self, noun: str) -> np.ndarray:
        """[T, O]: visible, and named so."""
        fits = [
            noun in (name, family) or name.endswith(" " + noun)
            for name, family in zip(self.names, self.families, strict=True)
        ]
        return self.visible & np.array(fits)

    def _size(self, which: str, noun: str) -> np.ndarray:
        named = self.noun(noun)
        share = self.areas if which == "largest" else 1 / np.maximum(self.areas, 1)
        share = np.where(named, share, 0.0)
        if share.shape[1] < 2:
            return np.zeros_like(named)
        second = np.sort(share, 1)[:, -2:-1]
        return named & (share >= _LARGER * second) & (second > 0)

    def _side(self, words: str) -> np.ndarray:
        axis, sign = SIDES[words]
        return sign * (self.centres[axis] / self.side - 0.5) > 0.5 - _OUTER

    def _relation(self, words: str, other: str) -> np.ndarray:
        axis, sign = RELATIONS[words]
        named = self.visible & np.array([name == other for name in self.names])
        single = named.sum(1) == 1
        index = named.argmax(1)
        own = np.arange(len(index))
        apart = self.centres - self.centres[:, own, index][..., None]
        along, across = sign * apart[axis], np.abs(apart[1 - axis])
        return single[:, None] & (along > _APART * self.side) & (along > across)

    def holds(self, text: str) -> np.ndarray:
        """[T, O]: of which objects the sentence is true, frame by frame."""
        found = _SENTENCE.fullmatch(text)
        part = found.groupdict() if found else {}
        nouns = " ".join(part.get(key) or "" for key in ("noun", "target", "other"))
        if found is None or set(nouns.split()) & {"is", "are", "that", "the", "on", "at"}:
            raise ValueError(f"No sentence of the grammar: {text!r}.")
        true = self.noun(part["noun"]).copy()
        if part["size"]:
            true &= self._size(part["size"], part["noun"])
        if part["colour"]:
            true &= self.colours == part["colour"]
        if part["doing"]:
            named = np.array(["", *self.names], object)[self.targets] == part["target"]
            true &= named & (self.verbs == VERBS.index(DOING[part["doing"]]))
        if part["side"]:
            true &= self._side(part["side"])
        if part["relation"]:
            true &= self._relation(part["relation"], part["other"])
        return true


def _family(kind: str) -> str:
    return {"anatomy": "organ", "accessory": "accessory"}.get(kind, "instrument")


def _candidates(scenes: Scenes, index: int) -> list[str]:
    """Sentences that may be true of an object at some time."""
    name, family = scenes.names[index], scenes.families[index]
    last = name.split()[-1]
    nouns = list(dict.fromkeys([name, last] if last == "grasper" else [name]))
    if family != "accessory":
        nouns.append(family)
    texts = [f"The {name}."]
    pairs = set(
        zip(scenes.verbs[:, index].tolist(), scenes.targets[:, index].tolist(), strict=True)
    )
    doings = sorted(
        (next(ing for ing, verb in DOING.items() if verb == VERBS[v]), scenes.names[k - 1])
        for v, k in pairs
        if v >= 0
    )
    for noun in nouns:
        that = "that is" if noun == "instrument" else "are" if noun.endswith("s") else "is"
        acts = [f"The {noun} {that} {ing} the {target}" for ing, target in doings]
        texts += [f"{act}." for act in acts]
        texts += [f"{act} {side}." for act in acts for side in SIDES]
        texts += [f"The {noun} {side}." for side in SIDES]
        texts += [f"The {size} {noun}." for size in ("largest", "smallest")]
        texts += [
            f"The {colour} {noun}." for colour in sorted(set(scenes.colours[:, index]) - {""})
        ]
    for other in dict.fromkeys(scenes.names):
        if other != name:
            texts += [f"The {name} {relation} the {other}." for relation in RELATIONS]
    return list(dict.fromkeys(texts))


def describe(clip: Clip, min_frames: int = 5) -> tuple[Expression, ...]:
    """All sentences about a clip's objects: of each the longest range in which it is unambiguous.

    Ranges shorter than `min_frames`, or than the clip if that is shorter, are left out.
    """
    scenes, found = Scenes(clip), []
    needed = min(min_frames, len(clip.label_maps))
    for index in range(len(clip.object_ids)):
        for text in _candidates(scenes, index):
            table = scenes.holds(text)
            first, length = _longest_run(table[:, index] & (table.sum(1) == 1))
            if length >= needed:
                found.append(Expression(text, index + 1, first, first + length - 1))
    return tuple(found)


def _longest_run(flags: np.ndarray) -> tuple[int, int]:
    """First index and length of the longest stretch of True; (0, 0) without any."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    if not len(starts):
        return 0, 0
    best = int(lengths.argmax())
    return int(starts[best]), int(lengths[best])

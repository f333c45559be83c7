"""A fake Ref-EndoVis18.

Path:    ref_endovis17.fake -> [ref_endovis18.fake] -> archive
"""

from pathlib import Path

from tfds_builders.kit.fake import FakeVideo
from tfds_builders.ref_endovis17 import fake as ref17

_HOME = "Ref-Endovis18"
_WORKS = {"action": 13, "location": 4, "unique": False}  # places are not said in this set
_LIES = {"action": 0, "location": 0, "unique": True}

breaks = ref17.breaks


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Instruments, tissue and a value that is no object; frames of both kinds of places."""
    home = "miccai_challenge_2018_release_1/seq_1/left_frames"
    far = "miccai_challenge_release_4/seq_13/left_frames"
    beside = f"{_HOME}/valid/JPEGImages/seq_2"
    works = (_WORKS, "monopolar curved scissors are cauterizing tissue")
    lies = (_LIES, "kidney parenchyma")
    first = {1: "monopolar curved scissors"}
    swapped = {2: "prograsp forceps", 3: "large needle driver"}
    sequences = [
        ref17.Sequence(
            "seq_1",
            "train",
            {t: f"{home}/frame{t:03d}.png" for t in range(3)},
            first,
            {**first, 11: "kidney parenchyma"},
            {1: works, 11: lies},
            (1, 11, 13),
        ),
        ref17.Sequence(
            "seq_13",
            "train",
            {t: f"{far}/frame{t:03d}.png" for t in range(2)},
            {2: "large needle driver", 3: "prograsp forceps"},  # the first release
            swapped,
            {
                2: (_WORKS, "prograsp forceps are cauterizing tissue"),
                3: (_WORKS, "large needle driver is cauterizing tissue"),
            },
            (2, 3),
        ),
        ref17.Sequence(
            "seq_2",
            "val",
            {t: f"{beside}/{t:05d}.png" for t in range(2)},
            {1: "suction", 17: "small intestine"},
            {1: "suction instrument", 17: "small intestine"},
            {17: (_LIES, "small intestine"), 1: (_WORKS, "suction is suctioning blood")},
            (1, 17),
        ),
    ]
    return ref17.draw(root, seed, _HOME, sequences)

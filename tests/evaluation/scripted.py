"""A model that plays a script, so that protocols can be followed by hand.

Axes:    label maps and masks are 12 x 12; object k fills 2 rows of 4 columns, 8 pixels.
Units:   a share of an object is a number of eighths, so J is n / 8 by hand.
"""

import numpy as np

from surgjax.evaluation.annotated_video import AnnotatedVideo

SIZE, EIGHTHS = 12, 8


def block(object_id, eighths=EIGHTHS, surplus=0):
    """The first pixels of an object's 2 x 4 block, and so many too much in a row at the bottom."""
    pixels = np.zeros(EIGHTHS, bool)
    pixels[:eighths] = True
    mask = np.zeros((SIZE, SIZE), bool)
    row = 3 * object_id - 2
    mask[row : row + 2, 2:6] = pixels.reshape(2, 4)
    mask[-1, :surplus] = True
    return mask


def video(shown, frames, annotated=None, name="clip"):
    """shown: object id -> the frames that show it."""
    maps = {}
    for t in range(frames) if annotated is None else annotated:
        maps[t] = np.zeros((SIZE, SIZE), np.uint8)
        for k, on in shown.items():
            if t in on:
                maps[t][block(k)] = k
    return AnnotatedVideo(name, np.zeros((frames, SIZE, SIZE, 3), np.uint8), maps)


class Scripted:
    """passes: one table for each propagation, object id -> eighths (or a mask) by frame.

    The last table is repeated. answers: what clicks and boxes get, one after the other, eighths or
    masks; the last is repeated. Everything that is asked is noted in `log`.
    """

    name = "scripted"

    def __init__(self, passes, answers=(EIGHTHS,), skip=None):
        self.passes, self.answers, self.skip = passes, list(answers), skip
        self.log, self.open_videos = [], 0

    def open(self, frames):
        self.open_videos += 1
        return _Open(self, len(frames))

    def propagations(self):
        return [entry[1] for entry in self.log if entry[0] == "propagate"]

    def prompts(self):
        """(object, frame, clicks handed over) of every prompt."""
        return [entry[1:] for entry in self.log if entry[0] == "prompt"]


class _Open:
    def __init__(self, owner, frames):
        self.owner, self.frames, self.ids = owner, frames, []

    def prompt(self, frame, object_id, prompt):
        if object_id not in self.ids:
            self.ids.append(object_id)
        if prompt.mask is not None:
            what = "mask"
        elif prompt.points_xy is None:
            what = ("box", *prompt.box_xyxy.tolist())
        else:
            xy = [(int(x), int(y)) for x, y in prompt.points_xy]
            what = [(*p, int(n)) for p, n in zip(xy, prompt.labels, strict=True)]
        self.owner.log.append(("prompt", object_id, frame, what))
        if prompt.mask is not None:
            return prompt.mask
        answers = self.owner.answers
        return _mask(object_id, answers.pop(0) if len(answers) > 1 else answers[0])

    def propagate(self, start, reverse=False):
        assert not reverse
        self.owner.log.append(("propagate", start))
        passes = self.owner.passes
        table = passes.pop(0) if len(passes) > 1 else passes[0]
        for t in range(start, self.frames):
            if t != self.owner.skip:
                yield t, {k: _mask(k, table[k][t]) for k in self.ids if k in table}

    def close(self):
        self.owner.open_videos -= 1


def _mask(object_id, what):
    return block(object_id, what) if isinstance(what, int) else what

"""Every sentence is true of one object only: judged again here, by other code, from the masks."""

import dataclasses
import re

import numpy as np
import pytest

from surgjax.synthetic import PRESETS, expressions, generate_clip
from surgjax.synthetic.procedure import VERBS
from surgjax.synthetic.stream import Facts

ING = {verb: ing for ing, verb in expressions.DOING.items()}


def judge(clip, text: str, t: int) -> list[int]:
    """Object ids of which the sentence is true in frame t; written apart from the module."""
    labels, side = clip.label_maps[t], clip.label_maps.shape[-1]
    ids = [k for k in clip.object_ids if (labels == k).any()]
    name = dict(zip(clip.object_ids, clip.object_names, strict=True))
    kind = dict(zip(clip.object_ids, clip.object_classes, strict=True))
    area = {k: (labels == k).sum() for k in ids}
    centre = {k: np.mean(np.nonzero(labels == k), axis=1)[::-1] for k in ids}

    def named(k, noun):
        if noun == "organ":
            return kind[k] == "anatomy"
        if noun == "instrument":
            return kind[k] not in ("anatomy", "accessory")
        return (" " + name[k]).endswith(" " + noun)

    rest = text.removeprefix("The ").removesuffix(".")
    tests = []
    for words, axis, sign in (
        ("to the left of", 0, -1),
        ("to the right of", 0, 1),
        ("above", 1, -1),
        ("below", 1, 1),
    ):
        if f" {words} the " in rest:
            rest, other = rest.split(f" {words} the ")
            others = [k for k in ids if name[k] == other]
            if len(others) != 1:
                return []

            def beside(k, axis=axis, sign=sign, other=others[0]):
                gap = centre[k] - centre[other]
                return sign * gap[axis] > max(0.08 * side, abs(gap[1 - axis]))

            tests.append(beside)
    for words, axis, sign in (
        (" on the left", 0, -1),
        (" on the right", 0, 1),
        (" at the top", 1, -1),
        (" at the bottom", 1, 1),
    ):
        if rest.endswith(words):
            rest = rest.removesuffix(words)
            tests.append(lambda k, a=axis, s=sign: s * (centre[k][a] / side - 0.5) > 0.08)
    found = re.fullmatch(r"(.*?)(?: that)? (?:is|are) (\w+ing) the (.*)", rest)
    if found:
        rest, ing, target = found.groups()

        def acts(k):
            verb, goal = clip.facts.verb_ids[t, k - 1], clip.facts.target_ids[t, k - 1]
            return verb >= 0 and ING[VERBS[verb]] == ing and goal in ids and name[goal] == target

        tests.append(acts)
    first, _, noun = rest.partition(" ")
    if first in ("largest", "smallest"):
        same = [k for k in ids if named(k, noun)]
        if len(same) < 2:
            return []
        order = sorted(same, key=lambda k: area[k], reverse=first == "largest")
        big, small = sorted((area[order[0]], area[order[1]]), reverse=True)
        tests.append(lambda k: k == order[0] and big >= 1.3 * small)
    elif first in expressions.COLOURS:

        def coloured(k):
            tone = clip.frames_u8[t][labels == k].mean(0)
            return expressions.colour_name(tone) == first

        tests.append(coloured)
    else:
        noun = rest
    return [k for k in ids if named(k, noun) and all(test(k) for test in tests)]


@pytest.fixture(scope="module")
def clips():
    surgery = [generate_clip(seed, 48, 96, PRESETS["surgery"]) for seed in range(5)]
    return surgery + [generate_clip(seed, 6, 96) for seed in range(3)]


def test_each_expression_is_true_of_its_object_and_no_other(clips):
    checked = 0
    for clip in clips:
        for said in clip.expressions:
            span = np.arange(said.first_frame, said.last_frame + 1)
            for t in {span[0], span[len(span) // 2], span[-1]}:
                assert judge(clip, said.text, t) == [said.object_id], (clip.seed, t, said)
                checked += 1
    assert checked > 800


def test_the_module_and_the_judge_agree_also_where_a_sentence_is_false(clips):
    true = false = 0
    for clip in clips[:3]:
        scenes = expressions.Scenes(clip)
        texts = {said.text for said in clip.expressions}
        texts |= {"The largest instrument.", "The instrument on the left.", "The grasper."}
        for text in sorted(texts):
            table = scenes.holds(text)
            for t in range(0, 48, 9):
                assert (np.flatnonzero(table[t]) + 1).tolist() == judge(clip, text, t), (t, text)
                true, false = true + table[t].sum(), false + (~table[t]).sum()
    assert true > 300 and false > 1000


def test_all_templates_occur_and_ranges_are_as_long_as_asked(clips):
    said = [e for clip in clips for e in clip.expressions]
    texts = "\n".join(e.text for e in said)
    for pattern in (
        r"^The \w+( \w+)? is \w+ing the \w+\.$",
        r"^The \w+( \w+)? is \w+ing the \w+ on the (left|right)\.$",
        r"^The instrument that is \w+ing the \w+\.$",
        r"^The (largest|smallest) (instrument|organ)\.$",
        r"^The (red|grey|brown|pink|black|white) ",
        r" (above|below|to the left of|to the right of) the ",
        r"^The [a-z]+ at the (top|bottom)\.$",
    ):
        assert re.search(pattern, texts, re.M), pattern
    assert min(e.last_frame - e.first_frame + 1 for e in said) >= 5
    for clip in clips:
        assert {e.object_id for e in clip.expressions} <= set(clip.object_ids)
        assert len(clip.expressions) >= len(clip.object_ids)


def _by_hand():
    """Two graspers side by side over an organ; the left one retracts it, the right one is idle."""
    labels = np.zeros((1, 100, 100), np.uint8)
    labels[0, 60:90, 20:80], labels[0, 30:50, 10:30], labels[0, 30:40, 75:95] = 1, 2, 3
    frames = np.zeros((1, 100, 100, 3), np.uint8)
    frames[labels == 1], frames[labels == 2], frames[labels == 3] = (180, 30, 30), 120, 250
    clip = generate_clip(0, 1, 32)
    facts = Facts(
        np.array([1], np.int32),
        np.zeros(1, bool),
        np.ones((1, 3), bool),
        np.array([[-1, VERBS.index("retract"), -1]], np.int32),
        np.array([[0, 1, 0]], np.int32),
    )
    return dataclasses.replace(
        clip,
        frames_u8=frames,
        label_maps=labels,
        part_maps=labels,
        object_ids=(1, 2, 3),
        object_names=("gallbladder", "grasper", "fenestrated grasper"),
        object_classes=("anatomy", "grasper", "fenestrated"),
        facts=facts,
    )


@pytest.mark.parametrize(
    "text, objects",
    [
        ("The gallbladder.", [1]),
        ("The grasper.", [2, 3]),  # a fenestrated grasper is a grasper, too
        ("The fenestrated grasper.", [3]),
        ("The instrument.", [2, 3]),
        ("The grasper on the left.", [2]),
        ("The grasper is retracting the gallbladder on the left.", [2]),
        ("The grasper is retracting the gallbladder on the right.", []),
        ("The instrument that is retracting the gallbladder.", [2]),
        ("The grasper is dissecting the gallbladder.", []),
        ("The largest instrument.", [2]),  # 400 px against 200
        ("The smallest grasper.", [3]),
        ("The largest organ.", []),  # there is one only: nothing to compare
        ("The red organ.", [1]),
        ("The white grasper.", [3]),
        ("The grey instrument.", [2]),
        # Centres: organ (49.5, 74.5), graspers (19.5, 39.5) and (84.5, 34.5).
        ("The instrument above the gallbladder.", [2, 3]),
        ("The instrument to the left of the gallbladder.", []),
        ("The grasper to the left of the fenestrated grasper.", [2]),
        ("The gallbladder below the grasper.", [1]),
    ],
)
def test_sentences_by_hand(text, objects):
    table = expressions.Scenes(_by_hand()).holds(text)
    assert (np.flatnonzero(table[0]) + 1).tolist() == objects


@pytest.mark.parametrize(
    "rgb, word",
    [
        ((10, 12, 9), "black"),
        ((120, 118, 122), "grey"),
        ((240, 240, 235), "white"),
        ((150, 20, 25), "red"),
        ((220, 150, 150), "pink"),
        ((110, 70, 30), "brown"),
        ((230, 150, 60), "orange"),
        ((220, 210, 60), "yellow"),
        ((60, 140, 70), "green"),
        ((50, 70, 180), "blue"),
        ((140, 50, 190), "purple"),
    ],
)
def test_colours_by_hand(rgb, word):
    assert expressions.colour_name(rgb) == word


def test_what_the_grammar_does_not_make_is_refused():
    scenes = expressions.Scenes(_by_hand())
    for text in ("Grasper!", "The grasper is thinking the gallbladder.", "the grasper."):
        with pytest.raises(ValueError, match="No sentence of the grammar"):
            scenes.holds(text)

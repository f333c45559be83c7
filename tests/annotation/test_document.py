"""What annotators say, as immutable values."""

import pytest

from surgjax.annotation import document as documents
from surgjax.annotation.document import Item, Marks
from surgjax.annotation.errors import EditError

CLICK = Marks(points=((3, 4),), labels=(1,))
FIX = Marks(points=((5, 6),), labels=(0,), is_correction=True)


def test_the_first_of_the_corrections_starts_an_object_that_has_nothing_else():
    item = Item(1, marks={5: FIX}).with_marks(2, CLICK).with_marks(9, FIX)
    assert item.anchors == [2] and list(item.marks) == [2, 5, 9]
    left = item.with_marks(2, Marks())
    assert left.anchors == [5] and left.marks[9].is_correction
    assert item.anchors == [2]  # the earlier value is what it was
    assert not left.with_marks(5, Marks()).with_marks(9, Marks()).marks


def test_keys_tell_everything_apart_that_is_answered_differently():
    said = [CLICK, FIX, Marks(points=((3, 4),), labels=(0,)), Marks(points=((4, 3),), labels=(1,)),
            Marks(box=(1, 2, 3, 4)), Marks(mask="painted/a.png"), Marks(mask="painted/b.png"),
            Marks(points=((3, 4),), labels=(1,), is_correction=True),
            Marks(points=((3, 4), (5, 5)), labels=(1, 1))]  # fmt: skip
    assert len({marks.key for marks in said}) == len(said) and 0 not in {m.key for m in said}


def test_an_entry_is_what_the_prompts_file_has():
    marks = Marks(((3, 4), (5, 6)), (1, 0), (1, 2, 9, 9), None, True)
    assert marks.entry(7) == {
        "frame": 7,
        "points": [[3, 4], [5, 6]],
        "labels": [1, 0],
        "box": [1, 2, 9, 9],
        "correction": True,
    }
    assert Marks(mask="painted/a.png").entry(0) == {"frame": 0, "mask": "painted/a.png"}


def test_places_and_ids():
    one, two, three = Item(1), Item(2), Item(3)
    document = documents.put((one, three), two, 2, 1)
    assert document == (one, two, three)
    renamed = Item(2, "hook")
    assert documents.put(document, renamed, 2) == (one, renamed, three)
    assert documents.put(document, None, 2) == (one, three)
    assert documents.put((), None, 2) == ()
    assert documents.free_id((one, three), {1, 2, 3}) == 4
    full = tuple(Item(i) for i in range(1, 255) if i != 77)
    assert documents.free_id(full, {254}) == 77
    with pytest.raises(EditError, match="254 objects"):
        documents.free_id((*full, Item(77)), set())
    with pytest.raises(EditError, match=r"no object 9 \(objects: 1, 3\)"):
        documents.find((one, three), 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: documents.add_point(CLICK, 3, 4, 1), r"\(3, 4\) has a positive point already"),
        (lambda: documents.add_point(CLICK, 3, 4, 0), r"\(3, 4\) has a positive point already"),
        (lambda: documents.add_point(Marks(), 3, 4, 0), "a positive point or a box"),
        (lambda: documents.add_point(Marks(mask="m"), 3, 4, 1), "brush and eraser"),
        (lambda: documents.set_box(Marks(mask="m"), (1, 1, 2, 2)), "brush and eraser"),
        (lambda: documents.checked_name("x" * 81), "at most 80 characters, this one 81"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(EditError, match=message):
        change()


def test_negative_points_where_something_says_where_the_object_is():
    assert documents.add_point(CLICK, 9, 9, 0).labels == (1, 0)
    assert documents.add_point(Marks(box=(1, 1, 5, 5)), 9, 9, 0).labels == (0,)
    assert documents.add_point(Marks(is_correction=True), 9, 9, 0).labels == (0,)
    many = CLICK
    for x in range(documents.MAX_POINTS - 1):
        many = documents.add_point(many, 10 + x, 0, 1)
    with pytest.raises(EditError, match=f"at most {documents.MAX_POINTS} points"):
        documents.add_point(many, 0, 0, 1)


def test_names():
    assert documents.checked_name("  large   needle driver ") == "large needle driver"
    assert documents.checked_name(" ") is None and documents.checked_name(None) is None

"""Output folders: what is refused, what is replaced, and what a failed run leaves."""

import pytest

from surgjax.inference.output_folder import OutputError, OutputFolder

ITEMS = ("masks", "summary.json")


def _fill(folder, text):
    (folder / "masks").mkdir()
    (folder / "masks" / "0.png").write_text(text)
    (folder / "summary.json").write_text(text)


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_results_appear_at_the_end_only(tmp_path):
    folder = OutputFolder(tmp_path / "a" / "b", ITEMS)
    work = folder.open()
    _fill(work, "new")
    assert work.parent == tmp_path / "a" / "b"
    assert not (tmp_path / "a" / "b" / "masks").exists()
    assert folder.finish() == [tmp_path / "a" / "b" / name for name in ITEMS]
    assert _names(tmp_path / "a" / "b") == sorted(ITEMS)


def test_non_empty_folder_is_refused_unless_overwrite(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty; --overwrite replaces masks, summary.json"):
        OutputFolder(tmp_path, ITEMS)
    OutputFolder(tmp_path, ITEMS, overwrite=True)
    with pytest.raises(OutputError, match="is a file; a folder expected"):
        OutputFolder(tmp_path / "note.txt", ITEMS)


def test_overwrite_replaces_results_and_nothing_else(tmp_path):
    _fill(tmp_path, "old")
    (tmp_path / "masks" / "stale.png").write_text("old")
    (tmp_path / "note.txt").write_text("mine")
    folder = OutputFolder(tmp_path, ITEMS, overwrite=True)
    work = folder.open()
    (work / "masks").mkdir()
    (work / "masks" / "0.png").write_text("new")
    folder.finish()
    assert _names(tmp_path) == ["masks", "note.txt"]  # an old summary would belong to other masks
    assert _names(tmp_path / "masks") == ["0.png"]
    assert (tmp_path / "masks" / "0.png").read_text() == "new"


def test_discard_leaves_everything_as_it_was(tmp_path):
    folder = OutputFolder(tmp_path / "a" / "b", ITEMS)
    _fill(folder.open(), "new")
    folder.discard()
    assert _names(tmp_path) == []
    _fill(tmp_path, "old")
    folder = OutputFolder(tmp_path, ITEMS, overwrite=True)
    _fill(folder.open(), "new")
    folder.discard()
    assert (tmp_path / "summary.json").read_text() == "old"
    assert _names(tmp_path) == sorted(ITEMS)


def test_what_a_killed_run_left_is_removed(tmp_path):
    first = OutputFolder(tmp_path, ITEMS)
    _fill(first.open(), "half")
    first.release()  # as the end of its process does
    second = OutputFolder(tmp_path, ITEMS)  # the same command again: a rest is no content
    _fill(second.open(), "new")
    second.finish()
    assert _names(tmp_path) == sorted(ITEMS)


def test_input_inside_the_results_is_refused(tmp_path):
    folder = OutputFolder(tmp_path, ITEMS)
    with pytest.raises(OutputError, match="--prompts .*lies in the results to be written"):
        folder.check_input("--prompts", tmp_path / "masks" / "00000.png")
    folder.check_input("--prompts", tmp_path / "prompts.json")


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    folder = OutputFolder(tmp_path / "file" / "out", ITEMS)
    with pytest.raises(OutputError, match="cannot be written: Not a directory"):
        folder.open()


def test_two_at_once_and_what_can_be_gone_on_with(tmp_path):
    first = OutputFolder(tmp_path, ITEMS, marker="snapshot")
    work = first.open()
    _fill(work, "half")
    (work / "snapshot").write_text("here")
    for options in ({"overwrite": True}, {"resume": True}):
        second = OutputFolder(tmp_path, ITEMS, marker="snapshot", **options)
        with pytest.raises(OutputError, match="is being written by another process"):
            second.open()
    first.discard()  # there is something to go on from
    assert (work / "masks" / "0.png").read_text() == "half"
    with pytest.raises(OutputError, match="--resume goes on with it"):
        OutputFolder(tmp_path, ITEMS, marker="snapshot")
    second = OutputFolder(tmp_path, ITEMS, marker="snapshot", resume=True)
    assert second.unfinished == work and second.open() == work
    assert second.finish(keep_work=True) == [tmp_path / name for name in ITEMS]
    assert (work / "snapshot").exists()
    third = OutputFolder(tmp_path, ITEMS, marker="snapshot", resume=True)
    third.open(recover=["masks"])
    assert _names(tmp_path) == [work.name, "summary.json"]
    assert (work / "masks" / "0.png").read_text() == "half"
    third.finish()
    assert _names(tmp_path) == ["masks"]  # the summary of the part before is no longer true

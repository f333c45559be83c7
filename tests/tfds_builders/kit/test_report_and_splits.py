"""Findings by severity; split files; the family of Cholec80."""

import pytest

from tfds_builders.kit import splits
from tfds_builders.kit.archive import ArchiveError
from tfds_builders.kit.report import Report


def test_certain_figures_stop_and_uncertain_ones_do_not():
    report = Report()
    report.compare("frames", 149, 149, sure=True)
    assert not report.findings
    report.compare("classes", 9, 10, sure=False)
    assert not report.errors
    report.raise_if_errors("set", "folder")
    report.compare("videos", 15, 14, sure=True)
    with pytest.raises(
        ArchiveError, match=r"folder is not a complete set(.|\n)*expected 15, found 14"
    ):
        report.raise_if_errors("set", "folder")


def test_a_partial_archive_may_count_less_but_not_lack_files():
    report = Report(partial=True)
    report.compare("videos", 15, 14, sure=True)
    assert not report.errors
    report.error("missing", "a.png", "a file", "nothing")
    assert len(report.errors) == 1


def test_the_text_shortens_long_lists():
    report = Report()
    for number in range(9):
        report.note("extra", f"file{number}", "no such file", "a file")
    assert "and 4 more" in report.text()
    assert "file4" in report.text()
    assert "file5" not in report.text()
    with pytest.raises(ValueError, match="Expected a kind"):
        report.note("nonsense", "a", "b", "c")


def test_split_files(tmp_path):
    path = tmp_path / "official.txt"
    path.write_text("# a comment\ntrain v1\n\nval v2  # another\n")
    assert splits.read(path) == {"v1": "train", "v2": "val"}
    path.write_text("train v1\ntest v1\n")
    with pytest.raises(ArchiveError, match=r"official\.txt:2: v1 is in train and in test"):
        splits.read(path)
    path.write_text("train v1 v2\n")
    with pytest.raises(ArchiveError, match="expected '<split> <id>'"):
        splits.read(path)


@pytest.mark.parametrize(
    ("number", "split"),
    [(9, "test"), (77, "test"), (17, "val"), (3, "val"), (1, "train"), (111, "train")],
)
def test_the_family_of_cholec80(number, split):
    assert splits.cholec80_family(number) == split

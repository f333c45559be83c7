"""WORKSPACE.md is true to the tree: every room, every command, every system."""

import re

from tests.docs.pages import ROOT, headings

TEXT = (ROOT / "WORKSPACE.md").read_text()
# Modules that can be started and are no command of their own, and why.
NO_COMMAND = {
    "experiments.demo": "make demo",
    "experiments.promptable_sam2.nano_test_set": "made the list that evaluate_nano holds to",
    "experiments.video_benchmark.peak_memory": "benchmark_video starts it",
}


def _section(name):
    return TEXT.split(f"## {name}\n")[1].split("\n## ")[0]


def _packages(folder):
    return {path.parent.name for path in (ROOT / folder).glob("*/__init__.py")}


def test_rooms_are_there_and_none_is_left_out():
    rows = re.findall(r"^\| (.+?) \|", _section("Rooms"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert not [name for name in named if not (ROOT / name).exists()]
    left_out = {f"surgjax/{name}" for name in _packages("surgjax")} - named
    assert not left_out


def test_every_launcher_is_a_command():
    started = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "experiments").rglob("*.py")
        if "__main__" in path.read_text()
    }
    named = set(re.findall(r"^\| `python -m ([\w.]+)`", _section("Commands"), re.MULTILINE))
    assert started == (named & started) | set(NO_COMMAND), started ^ named


def test_every_make_target_that_help_shows_is_a_command():
    shown = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    parts = {"lint", "types", "imports", "format", "clean"}  # of make test, and housekeeping
    assert not [name for name in shown if name not in parts and f"`make {name}`" not in TEXT]


def test_every_system_has_a_status_and_a_command():
    rows = re.findall(r"^\| `(\w+)` \|(.+)\|$", _section("Systems"), re.MULTILINE)
    systems = {name for name, _ in rows}
    assert systems == _packages("experiments") - {"video_benchmark", "annotation"}
    for name, row in rows:
        _, status, command = row.split(" | ")
        assert re.match(r"(draft|matches|reproduced|frozen)\b", status), name
        assert re.search(r"`(python -m|make) ", command), name


def test_the_path_of_a_frame_comes_first():
    assert headings(ROOT / "WORKSPACE.md", "##")[0] == "The path of a frame"

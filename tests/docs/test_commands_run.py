"""Every command of README and the core pages is run, in the order of the page, in one folder.

Inputs lie there under the names that the page uses (`stand_ins`), so a command runs as it is
printed, with flags behind it that make the work smaller. What cannot run here is in NOT_RUN.
"""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.docs.pages import CORE, ROOT, blocks, commands_in, name_of, tool_of
from tests.docs.stand_ins import MAKERS

RUN_PAGES = [ROOT / "README.md", *CORE]

# Beginning of a command, and why it is not run here.
NOT_RUN = {
    "git clone": "nothing here may reach a network",
    "cd surgjax": "belongs to the clone",
    "make demo": "CI runs it as a step of its own; it makes .venv",
    "make test": "CI runs it; this is a test of it",
    "source .venv/bin/activate": "the interpreter of the tests is used",
    "python -m experiments.annotate": (
        "serves until it is stopped; tests/annotation/test_whole_session.py starts and uses it"
    ),
    "pip install": "installs; make does the same, and CI runs that",
    "python -m experiments.evaluate_model --davis_root=DAVIS --output=SHARED_DIR": (
        "waits for its second process; tests/experiments/test_evaluate_model_command.py starts both"
    ),
}
# Beginning of a command that is heavy even so, and the processor time that it takes.
HEAVY = {
    "python -m experiments.promptable_sam2.main": "140 s, then 40 s",
    "python -m experiments.evaluate_model --config=configs/evaluation/prepared.py": "17 s",
}


@dataclasses.dataclass(frozen=True)
class Tool:
    """How a command is made small, and what it leaves: `files` below what the flag names."""

    results: tuple[tuple[str, str], ...] = ()
    smaller: tuple[str, ...] = ()
    says: str = ""  # of a command that leaves no file


TOOLS = {
    "experiments.doctor": Tool(says="versions"),
    "experiments.track": Tool((("output", "summary.json"),), ("--image_size=64",)),
    "experiments.track_many": Tool((("output", "report.json"),), ("--image_size=64",)),
    "experiments.convert_checkpoint": Tool((("output", "tensors.json"),)),
    "experiments.prepare_data": Tool(
        (("data_dir", "**/clips.json"), ("fake", "**/*.png")), ("--jobs=1",), says="0 errors"
    ),
    "experiments.evaluate": Tool((("output", "report.json"),)),
    "experiments.evaluate_model": Tool((("output", "report.json"),), ("--image_size=64",)),
    "experiments.promptable_sam2.main": Tool((("workdir", "export/params"),)),
}


def _starts(words: list[str], beginning: str) -> bool:
    return " ".join(words).startswith(beginning)


def _of(words: list[str], table: dict[str, str]) -> str | None:
    return next((table[start] for start in table if _starts(words, start)), None)


def _commands(page: Path) -> list[list[str]]:
    return [words for block in blocks(page, "bash") for words in commands_in(block)]


def _flags(words: list[str]) -> dict[str, str]:
    pairs = (word[2:].partition("=") for word in words if word.startswith("--"))
    return {name: value for name, _, value in pairs}


def _smaller(words: list[str]) -> list[str]:
    """The command at debug size."""
    tool, flags = tool_of(words), _flags(words)
    words = [sys.executable, *words[1:], *TOOLS[tool].smaller]
    if tool == "experiments.prepare_data" and "manual_dir" in flags:
        words.append("--partial")  # of the archive, which is a drawn one
    if tool == "experiments.prepare_data" and flags["dataset"] == "generated":
        words.append("--dataset=generated/tiny")
    if tool == "experiments.evaluate_model" and "config" not in flags:
        words += [] if "checkpoint" in flags else ["--checkpoint=debug", "--random_weights"]
    config = f"--config={flags.get('config')}"
    if ":" not in config:
        words = [f"{word}:debug" if word == config else word for word in words]
    return words


def _make_inputs(words: list[str], folder: Path) -> None:
    for name in _flags(words).values():
        if name in MAKERS and not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            MAKERS[name](folder / name)


def _leaves(words: list[str], folder: Path) -> list[Path]:
    flags = _flags(words)
    return [
        found
        for flag, files in TOOLS[tool_of(words)].results
        if flag in flags
        for found in (folder / flags[flag]).glob(files)
    ]


def _run(words: list[str], folder: Path) -> None:
    tool, flags = TOOLS[tool_of(words)], _flags(words)
    outputs = {flags[flag] for flag, _ in tool.results if flag in flags}
    _make_inputs([word for word in words if word.partition("=")[2] not in outputs], folder)
    before = time.time()
    done = subprocess.run(
        _smaller(words),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    if outputs:
        left = _leaves(words, folder)
        assert left, f"{' '.join(words)}: no result in {outputs}"
        if "--resume" not in words:
            assert max(path.stat().st_mtime for path in left) >= before - 1
    else:
        assert tool.says and tool.says in done.stdout, done.stdout


def _run_page(page: Path, folder: Path, with_heavy: bool) -> int:
    for name in ("configs", "surgjax"):  # what commands name in the repository
        (folder / name).symlink_to(ROOT / name)
    count = 0
    for words in _commands(page):
        if _of(words, NOT_RUN) is None and (with_heavy or _of(words, HEAVY) is None):
            _run(words, folder)
            count += 1
    return count


@pytest.mark.parametrize("page", RUN_PAGES, ids=name_of)
def test_commands_run(page, tmp_path):
    _run_page(page, tmp_path, with_heavy=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in RUN_PAGES if any(_of(words, HEAVY) for words in _commands(page))],
    ids=name_of,
)
def test_heavy_commands_run_too(page, tmp_path):
    assert _run_page(page, tmp_path, with_heavy=True)


@pytest.mark.parametrize("start", HEAVY)
def test_heavy_commands_are_named(start):
    """Shows in the summary what the default run leaves out."""
    pytest.skip(f"left to make test-slow: {start} ({HEAVY[start]})")


@pytest.mark.parametrize("table", [NOT_RUN, HEAVY], ids=["NOT_RUN", "HEAVY"])
def test_tables_have_no_entry_that_no_page_uses(table):
    commands = [words for page in RUN_PAGES for words in _commands(page)]
    unused = [start for start in table if not any(_starts(words, start) for words in commands)]
    assert not unused


def test_every_command_has_a_rule():
    for page in RUN_PAGES:
        for words in _commands(page):
            known = _of(words, NOT_RUN) is not None or tool_of(words) in TOOLS
            assert known, f"{name_of(page)}: {' '.join(words)}"

"""The pages of the documentation, and what is in them: code, commands, links, headings."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
# In the order of reading.
CORE = [
    DOCS / f"{name}.md"
    for name in (
        "getting_started",
        "prompts",
        "annotate",
        "data",
        "training",
        "evaluation",
        "architecture",
        "adding_a_system",
        "faq",
    )
]
PAGES = [
    ROOT / "README.md",
    ROOT / "WORKSPACE.md",
    *sorted(DOCS.glob("*.md")),
    ROOT / "notebooks" / "README.md",
    *sorted((ROOT / "experiments").glob("*/README.md")),
    ROOT / "tfds_builders" / "README.md",
    *sorted((ROOT / "tfds_builders").glob("*/README.md")),
]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")


def name_of(page: Path) -> str:
    """The page as tests and messages call it."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return [block for name, block in _FENCE.findall(page.read_text()) if name == language]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def commands_in(text: str) -> list[list[str]]:
    """Shell lines as words; a backslash joins lines, comments are dropped."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def tool_of(words: list[str]) -> str:
    """ "experiments.track" of a command that starts it with python -m, else its first word."""
    return words[2] if words[:2] == ["python", "-m"] else words[0]


def links(page: Path) -> list[tuple[str, str]]:
    """(target, anchor) of every link and picture; either may be empty."""
    return _LINK.findall(page.read_text())


def headings(page: Path, level: str = "#+") -> list[str]:
    """Headings of a level ("#" for the first), or of all."""
    return re.findall(rf"^{level} (.+)$", prose(page), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What a link can name behind #, by GitHub's rule."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(page)
    }

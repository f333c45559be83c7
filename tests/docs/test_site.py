"""Pages are plain Markdown that renders anywhere: links, titles, pictures, lines, order."""

import re

import pytest

from tests.docs.pages import (
    CORE,
    DOCS,
    INDEX,
    PAGES,
    ROOT,
    anchors,
    headings,
    links,
    name_of,
    prose,
)

_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]*)\)")
_LONGEST = 120  # columns
each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@each_page
def test_links_lead_somewhere(page):
    for target, anchor in links(page):
        if "://" not in target:
            aim = page.parent / target if target else page
            assert aim.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors(aim), f"{page.name}: no heading #{anchor}"


@each_page
def test_one_title_and_it_comes_first(page):
    assert len(headings(page, "#")) == 1
    assert page.read_text().startswith("# ")


@each_page
def test_pictures_say_what_they_show(page):
    for text, target in _PICTURE.findall(prose(page)):
        assert len(text.split()) >= 3, f"{target}: a description expected, found {text!r}"


@each_page
def test_lines_fit(page):
    """Rows of tables and lines that a long address fills cannot be broken."""
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if len(line) > _LONGEST and not line.startswith("|") and "://" not in line:
            pytest.fail(f"{page.name}:{number} has {len(line)} columns")


def test_every_page_is_in_the_index():
    listed = {(INDEX.parent / target).resolve() for target, _ in links(INDEX) if target}
    missing = [page.name for page in DOCS.glob("*.md") if page not in (*listed, INDEX)]
    assert not missing, f"docs/README.md does not link to {missing}"


def test_core_pages_come_first_in_the_index_and_in_order():
    listed = [target for target, _ in links(INDEX) if target.endswith(".md")]
    assert listed[: len(CORE)] == [page.name for page in CORE]
    assert "docs/README.md" in {target for target, _ in links(ROOT / "README.md")}


def test_core_pages_lead_from_one_to_the_next():
    for page, following in zip(CORE, [*CORE[1:], INDEX], strict=True):
        last = page.read_text().rstrip().splitlines()[-1]
        assert re.fullmatch(rf"Next: \[.+\]\({following.name}\)\.?", last), f"{page.name}: {last}"

"""The files of the page, and nothing else.

Path:    experiments/annotation/page/ -> [page_files] -> server
Source:  ours.
Differs: a name is looked up in the list of what lies in the folder and never joined to a path, so
         no name leads out of it.
"""

from pathlib import Path

FOLDER = Path(__file__).with_name("page")
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}


def read_page_file(name: str) -> tuple[bytes, str] | None:
    """Content and media type of a file of the page; None if there is none of this name."""
    for path in FOLDER.iterdir():
        if path.name == name and path.suffix in _TYPES and path.is_file():
            return path.read_bytes(), _TYPES[path.suffix]
    return None

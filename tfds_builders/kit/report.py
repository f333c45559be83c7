"""What is wrong with an archive, as a table that a user can act on.

Path:    builder.examine -> [report] -> experiments.prepare_data
Axes:    none.
Units:   none.
Errors:  `raise_if_errors` raises ArchiveError with the whole table.
"""

import collections
import dataclasses

from tfds_builders.kit.archive import ArchiveError

KINDS = {  # kind: heading
    "missing": "missing",
    "extra": "not expected here",
    "corrupt": "cannot be read",
    "size": "wrong size",
    "label": "unknown label",
    "count": "wrong count",
    "layout": "layout",
}
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line: `where` is a path or a thing counted."""

    kind: str
    where: str
    expected: str
    found: str
    is_error: bool


class Report:
    """Collects findings. `partial` says that the user knows the archive to be incomplete."""

    def __init__(self, partial: bool = False):
        self.partial = partial
        self.findings: list[Finding] = []
        self.facts: list[tuple[str, str]] = []  # what was found, for the reader

    def error(self, kind: str, where, expected, found) -> None:
        """Something no set can be built from."""
        self._add(kind, where, expected, found, True)

    def note(self, kind: str, where, expected, found) -> None:
        """Something the user should see; building goes on."""
        self._add(kind, where, expected, found, False)

    def compare(self, what: str, expected, found, *, sure: bool, kind: str = "count") -> None:
        """A published figure against the archive. Sure ones stop a build unless it is partial."""
        self.facts.append((what, str(found)))
        if expected != found:
            self._add(kind, what, expected, found, sure and not self.partial)

    def fact(self, what: str, found) -> None:
        """A figure that nothing was published for."""
        self.facts.append((what, str(found)))

    def _add(self, kind: str, where, expected, found, is_error: bool) -> None:
        if kind not in KINDS:
            raise ValueError(f"Expected a kind of {sorted(KINDS)}, found {kind!r}.")
        self.findings.append(Finding(kind, str(where), str(expected), str(found), is_error))

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.is_error]

    def text(self) -> str:
        """Facts, then errors, then differences; at most five of a kind are written out."""
        lines = [f"  {what}: {found}" for what, found in self.facts]
        for is_error, title in ((True, "ERRORS"), (False, "differences (building goes on)")):
            groups = collections.defaultdict(list)
            for finding in self.findings:
                if finding.is_error == is_error:
                    groups[finding.kind].append(finding)
            if groups:
                lines.append(title)
            for kind, heading in KINDS.items():
                found = groups.get(kind, [])
                if found:
                    lines.append(f"  {heading} ({len(found)})")
                for item in found[:_SHOWN]:
                    lines.append(f"    {item.where}: expected {item.expected}, found {item.found}")
                if len(found) > _SHOWN:
                    lines.append(f"    ... and {len(found) - _SHOWN} more")
        return "\n".join(lines) if lines else "  nothing found"

    def raise_if_errors(self, name: str, root) -> None:
        if self.errors:
            raise ArchiveError(
                f"{root} is not a complete {name} archive ({len(self.errors)} errors).\n"
                f"{self.text()}"
            )

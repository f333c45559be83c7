"""J&F of every policy by the time since the prompt, as one SVG picture.

Path:    scores of long_tables -> [horizon_chart] -> horizons.svg
Axes:    horizons from left to right, one bar a policy; J&F upward from 0 to 100 percent.
Units:   sizes in CSS pixels.
Source:  colours of Okabe and Ito, Color Universal Design (2008).
Differs: no chart library; styles stand in the file, so it is the same anywhere.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
WIDTH, TOP, PLOT, LEFT = 760, 34, 240, 48
_LINE = 18  # of the legend


def horizon_chart(
    scores: Mapping[str, Mapping[str, Any]], horizons: Sequence[str], videos: int
) -> str:
    """Groups of bars with their values; horizons without a sample stay empty."""
    policies = list(scores)
    height = TOP + PLOT + 30 + _LINE * len(policies) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">J&amp;F in percent by the time since the prompt, '
        f"{videos} videos</text>",
    ]
    for value in range(0, 101, 20):
        y = _height(value / 100)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value}</text>'
        )
    group = (WIDTH - LEFT - 8) / len(horizons)
    width = min(0.86 * group / len(policies), 60)
    for k, horizon in enumerate(horizons):
        middle = LEFT + group * (k + 0.5)
        start = middle - width * len(policies) / 2
        for p, policy in enumerate(policies):
            value = scores[policy].get(horizon)
            if value is not None:
                parts.append(_bar(start + p * width, width, value, p, f"{policy}, {horizon}"))
        parts.append(
            f'<text x="{middle:.1f}" y="{TOP + PLOT + 18}" text-anchor="middle">'
            f"{escape(horizon)}</text>"
        )
    for p, policy in enumerate(policies):
        y = TOP + PLOT + 34 + _LINE * p
        parts.append(
            f'<rect x="{LEFT}" y="{y}" width="12" height="12" fill="{_colour(p)}"/>'
            f'<text x="{LEFT + 18}" y="{y + 10}">{escape(policy)}</text>'
        )
    return "".join(parts) + "</svg>\n"


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _height(value: float) -> float:
    return TOP + PLOT * (1 - value)


def _bar(x: float, width: float, value: float, place: int, what: str) -> str:
    y = _height(value)
    size = 11 if width >= 28 else 8
    return (
        f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}" '
        f'height="{TOP + PLOT - y:.1f}" fill="{_colour(place)}">'
        f"<title>{escape(what)}: {100 * value:.1f}</title></rect>"
        f'<text x="{x + width / 2:.1f}" y="{y - 3:.1f}" font-size="{size}" text-anchor="middle">'
        f"{100 * value:.1f}</text>"
    )

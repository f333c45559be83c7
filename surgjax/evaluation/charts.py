"""Small SVG charts for reports: scores over frames, and where an object is present.

Path:    per_frame rows -> [score_chart, presence_strip] -> html_report
Axes:    frames from left to right; one value a frame.
Units:   scores from 0 to 1; sizes in CSS pixels.
Errors:  none.
Source:  colours of Okabe and Ito, Color Universal Design (2008).
Differs: no chart library: the page must open without a network.
"""

from collections.abc import Collection, Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 150, 44, 18
# One dash pattern each, so that lines differ without colour too.
SERIES = {"J": ("#0072B2", ""), "F": ("#D55E00", "5 3"), "Dice": ("#009E73", "2 2")}


def _place(index: int, count: int) -> float:
    return LEFT + (WIDTH - LEFT - 6) * (index / (count - 1) if count > 1 else 0.5)


def _height(value: float) -> float:
    return 6 + (HEIGHT - BOTTOM - 6) * (1 - value)


def score_chart(
    stems: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    prompted: Collection[str] = (),
    unscored: Collection[str] = (),
) -> str:
    """Lines over the frames; None leaves a gap. Prompted frames get a mark, unscored a shade."""
    count = len(stems)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">']
    for value in (0.0, 0.5, 1.0):
        y = _height(value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 6}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for index, stem in enumerate(stems):
        x = _place(index, count)
        if stem in unscored:
            parts.append(f'<rect x="{x - 3:.1f}" y="6" width="6" height="{HEIGHT - BOTTOM - 6}" '
                         'class="unscored"><title>not scored</title></rect>')  # fmt: skip
        if stem in prompted:
            mark = f"M{x - 5:.1f} {HEIGHT - BOTTOM + 1} h10 l-5 -9 z"
            title = f"<title>prompt on {escape(stem)}</title>"
            parts.append(f'<path d="{mark}" class="prompt">{title}</path>')
    for name, values in series.items():
        colour, dash = SERIES[name]
        parts += _line(name, stems, values, colour, dash)
    for index in {0, count - 1}:
        anchor = "start" if index == 0 else "end"
        parts.append(f'<text x="{_place(index, count):.1f}" y="{HEIGHT - 4}" '
                     f'text-anchor="{anchor}">{escape(stems[index])}</text>')  # fmt: skip
    return "".join(parts) + "</svg>"


def _line(
    name: str, stems: Sequence[str], values: Sequence[float | None], colour: str, dash: str
) -> list[str]:
    parts, run = [], []
    for index, value in [*enumerate(values), (len(values), None)]:
        if value is not None:
            x, y = _place(index, len(stems)), _height(value)
            run.append(f"{x:.1f},{y:.1f}")
            label = f"{name} {value:.3f} on {stems[index]}"
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}">'
                         f"<title>{escape(label)}</title></circle>")  # fmt: skip
        elif run:
            parts.append(f'<polyline points="{" ".join(run)}" fill="none" stroke="{colour}" '
                         f'stroke-width="1.6" stroke-dasharray="{dash}"/>')  # fmt: skip
            run = []
    return parts


def presence_strip(in_truth: Sequence[bool], in_prediction: Sequence[bool]) -> str:
    """Two rows of bars: frames on which ground truth, and prediction, show the object."""
    count, rows = len(in_truth), (("truth", in_truth, "#555"), ("found", in_prediction, "#56B4E9"))
    width = max(1.5, (WIDTH - LEFT - 6) / max(count, 1) * 0.9)
    parts = [f'<svg viewBox="0 0 {WIDTH} 26" width="{WIDTH}" height="26" role="img">']
    for row, (name, present, colour) in enumerate(rows):
        y = 2 + 12 * row
        parts.append(f'<text x="{LEFT - 5}" y="{y + 9}" text-anchor="end">{name}</text>')
        for index, is_there in enumerate(present):
            if is_there:
                x = max(_place(index, count) - width / 2, LEFT)  # never over the row's name
                end = min(_place(index, count) + width / 2, WIDTH)
                parts.append(f'<rect x="{x:.1f}" y="{y}" width="{end - x:.1f}" height="10" '
                             f'fill="{colour}"/>')  # fmt: skip
    return "".join(parts) + "</svg>"

"""The figures of a run: JSON with fixed keys, and a table.

Path:    rounds, roofline, flops -> [report] -> FILE.json, standard output
Units:   milliseconds, seconds, MiB of 2^20 bytes, operations; shares from 0 to 1.
Source:  ours.
Differs: nothing to compare with. None stands for what could not be measured.
"""

import json
import statistics
from collections.abc import Sequence
from typing import Any

from experiments.video_benchmark.rounds import Timed
from experiments.video_benchmark.timing import best_ratio, per_second, percentile, round_ratios
from surgjax.checkpoints.atomic import atomic_file

KEYS = (
    "model", "image_size", "precision", "memory", "objects", "streams", "frames", "device",
    "threads", "compile_seconds", "step_ms_p50", "step_ms_p95", "total_ms_p50", "total_ms_p95",
    "fps", "peak_memory_mib", "flops_per_frame", "roofline_share",
)  # fmt: skip
COMPARE_KEYS = ("peer", "ratio", "ratio_min", "rounds", "parts")


def side_figures(
    about: dict[str, Any],
    timed: Timed,
    compile_seconds: float,
    peak_memory_mib: float | None,
    flops_per_frame: float | None,
    matmul_peak: float,
) -> dict[str, Any]:
    """One side under the keys of KEYS; `about` says what was run.

    fps is throughput with input and output, over all streams; roofline_share is without, like the
    steps. A chunk of frames (more than one) is named too.
    """
    streams = about["streams"]
    steps = [ms for one in timed.step_ms for ms in one]
    totals = [ms for one in timed.total_ms for ms in one]
    p50 = percentile(steps, 50)
    share = (
        None if flops_per_frame is None else streams * flops_per_frame / (p50 / 1000) / matmul_peak
    )
    found = about | {
        "compile_seconds": compile_seconds,
        "step_ms_p50": p50,
        "step_ms_p95": percentile(steps, 95),
        "total_ms_p50": percentile(totals, 50),
        "total_ms_p95": percentile(totals, 95),
        "fps": streams * per_second(totals),
        "peak_memory_mib": peak_memory_mib,
        "flops_per_frame": flops_per_frame,
        "roofline_share": share,
    }
    extra = ("chunk",) if about.get("chunk", 1) > 1 else ()
    return {key: found[key] for key in (*KEYS, *extra)}


def comparison(ours: Timed, peer: Timed, peer_figures: dict[str, Any]) -> dict[str, Any]:
    """What --compare adds, under the keys of COMPARE_KEYS. Ratios are of steps, ours / peer."""
    return {
        "peer": peer_figures,
        "ratio": statistics.median(round_ratios(ours.step_ms, peer.step_ms)),
        "ratio_min": best_ratio(ours.step_ms, peer.step_ms),
        "rounds": len(ours.step_ms),
        "parts": {"ours": ours.part_medians(), "peer": peer.part_medians()},
    }


_ROWS = (
    ("precision", "precision", "{}"),
    ("memory", "memory", "{}"),
    ("compile", "compile_seconds", "{:.1f} s"),
    ("step p50", "step_ms_p50", "{:.1f} ms"),
    ("step p95", "step_ms_p95", "{:.1f} ms"),
    ("total p50, with I/O", "total_ms_p50", "{:.1f} ms"),
    ("total p95, with I/O", "total_ms_p95", "{:.1f} ms"),
    ("frames/s, with I/O", "fps", "{:.2f}"),
    ("peak memory", "peak_memory_mib", "{:.0f} MiB"),
    ("per frame", "flops_per_frame", "{:.4g} FLOP"),
    ("share of matmul peak", "roofline_share", "{:.1%}"),
)


def _part(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:.1f} ms"


def table(result: dict[str, Any], names: Sequence[str], step_fps: Sequence[float]) -> str:
    """The figures as text; names and throughput of steps alone, of ours and of the peer."""
    sides = [result, *([result["peer"]] if "peer" in result else [])]
    head = (
        f"{result['model']}, {result['image_size']} px, {result['objects']} object(s), "
        f"{result['streams']} stream(s), {result['frames']} frames, {result['threads']} thread(s)"
    )
    if "chunk" in result:
        head += f", chunks of {result['chunk']}"
    rows = [("", *names)]
    for label, key, style in _ROWS:
        cells = ["-" if side[key] is None else style.format(side[key]) for side in sides]
        rows.append((label, *cells))
        if key == "fps":
            rows.append(("frames/s, model alone", *(f"{fps:.2f}" for fps in step_fps)))
    if "parts" in result:
        ours, theirs = result["parts"]["ours"], result["parts"]["peer"]
        rows += [
            (f"part: {name}", f"{ours[name]:.1f} ms", _part(theirs.get(name))) for name in ours
        ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [head]
    lines += [f"{side['device']}" for side in sides]
    for row in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([f"{row[0]:<{widths[0]}}", *cells]).rstrip())
    if "ratio" in result:
        lines.append(
            f"ratio of steps, ours / {names[1]}: {result['ratio']:.3f} (median of "
            f"{result['rounds']} rounds), {result['ratio_min']:.3f} (best frame / best frame)"
        )
    return "\n".join(lines)


def write(path: str, result: dict[str, Any]) -> None:
    """The JSON file, whole or not at all."""
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    with atomic_file(path) as temporary:
        temporary.write_text(text)

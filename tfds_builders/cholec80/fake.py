"""A fake archive in the layout of Cholec80.

Path:    kit.fake -> [cholec80.fake] -> archive
"""

from pathlib import Path

import numpy as np

from tfds_builders.cholec80.names import PHASES, TOOLS
from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

VIDEOS = {"video01": "train", "video15": "train", "video41": "test"}
STORED = 4  # frames a builder takes from each video
TOOL_ROWS = 3  # the last stored frame has no tool labels


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Three videos of 80 frames; every 25th is stored."""
    return [_video(root, name, seed + k) for k, name in enumerate(VIDEOS)]


def _video(root: Path, name: str, seed: int) -> FakeVideo:
    images, _, _ = fake.scene(seed, STORED, 64, 96)
    length = 25 * (STORED - 1) + 5
    path = root / "videos" / f"{name}.mp4"
    fake.write_video(path, [images[t // 25] for t in range(length)], fps=25)
    (root / "videos" / f"{name}-timestamp.txt").write_text("Frame\tTimestamp\n")
    phases = [list(PHASES)[(t // 20 + seed) % len(PHASES)] for t in range(length)]
    if name == "video15":  # labels that run on a little longer than the video
        phases += [phases[-1]] * (101 - length)
    rows = [f"{t}\t{phase}\n" for t, phase in enumerate(phases)]
    _write(root / f"phase_annotations/{name}-phase.txt", "Frame\tPhase\n" + "".join(rows))
    present = np.random.default_rng(seed).random((STORED, len(TOOLS))) < 0.4
    present[TOOL_ROWS:] = False
    rows = [
        f"{25 * t}\t" + "\t".join(str(int(v)) for v in present[t]) + "\n" for t in range(TOOL_ROWS)
    ]
    header = "Frame\t" + "\t".join(TOOLS) + "\n"
    _write(root / f"tool_annotations/{name}-tool.txt", header + "".join(rows))
    numbers = [25 * t for t in range(STORED)]
    frames = [
        FakeFrame(
            str(number),
            image,
            None,
            {},
            f"videos/{name}.mp4",
            extra=dict(
                phase=list(PHASES).index(phases[number]),
                has_tools=t < TOOL_ROWS,
                tools=present[t],
                time_s=np.float32(t),
                boxes_xyxy=np.zeros((0, 4)),
            ),
        )
        for t, (number, image) in enumerate(
            zip(numbers, fake.read_video(path, numbers), strict=True)
        )
    ]
    return FakeVideo(name, VIDEOS[name], frames)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with such an archive."""
    video, phase = "videos/video41.mp4", "phase_annotations/video01-phase.txt"
    tool = "tool_annotations/video15-tool.txt"

    def replace(name: str, old: str, new: str):
        def apply(root: Path, _) -> None:
            text = (root / name).read_text()
            if old not in text:
                raise ValueError(f"{name} holds no {old!r}.")
            (root / name).write_text(text.replace(old, new, 1))

        return apply

    def longer(root: Path, _) -> None:
        with open(root / phase, "a") as stream:
            stream.write("125\tPreparation\n")

    def cut(root: Path, _) -> None:
        data = (root / video).read_bytes()
        (root / video).write_bytes(data[: len(data) // 2])

    return [
        Break("video cut off", cut, "not a video that can be read|damaged"),
        Break("phases missing", lambda root, _: (root / phase).unlink(), phase),
        Break("tools missing", lambda root, _: (root / tool).unlink(), tool),
        Break("unknown phase", replace(phase, "\n0\t", "\n0\tLunch"), "phase 'Lunch"),
        Break("unknown tool", _every_tool_is(tool, "Stapler"), "unknown label: tool 'Stapler'"),
        Break("tool neither 0 nor 1", replace(tool, "\n25\t", "\n25\t2"), "expected 0 or 1"),
        Break("column missing", replace(tool, "\tHook", ""), "expected 8 columns"),
        Break("header missing", replace(phase, "Frame\tPhase\n", ""), "a header first"),
        Break("labels beyond the video", longer, "longer than label 125"),
        Break(
            "video of no split",
            lambda root, _: (root / video).rename(root / "videos/video81.mp4"),
            "names no video81",
        ),
    ]


def _every_tool_is(name: str, tool: str):
    def apply(root: Path, _) -> None:
        lines = (root / name).read_text().splitlines()
        lines[0] = "\t".join(["Frame"] + [tool] * len(TOOLS))
        (root / name).write_text("\n".join(lines) + "\n")

    return apply

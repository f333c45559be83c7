"""A fake archive in the layout of CholecTrack20.

Path:    kit.fake -> [cholectrack20.fake] -> archive
"""

import json
from pathlib import Path

import numpy as np

from tfds_builders.cholectrack20.annotations import CONDITIONS, TOOL_NAMES
from tfds_builders.kit import fake
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo

VIDEOS = {  # operation: (folder, split, a video file instead of frames?)
    "VID02": ("Training", "train", False),
    "VID31": ("Training", "train", False),  # labels of other frames: left out
    "VID17": ("Validation", "val", False),
    "VID01": ("Testing", "test", True),
}
NUMBERS = (1, 26, 51, 101)  # one second of the fake has no label
WIDTH, HEIGHT = 96, 64
TOOLS_AS_SPELT = ("grasper", "bipolar", "hook", "scissors", "clipper", "irrigator", "specimen-bag")
OPERATORS_AS_SPELT = (
    "null",
    "main-surgeon-left-hand (MSLH)",
    "assistant-surgeon-right-hand (ASRH)",
    "main-surgeon-right-hand (MSRH)",
)


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Three operations, one as a video file, and one whose labels are not its own."""
    made = [_video(root, name, seed + k) for k, name in enumerate(VIDEOS)]
    return [video for video in made if video.video_id != "VID31"]


def _video(root: Path, name: str, seed: int) -> FakeVideo:
    folder, split, is_movie = VIDEOS[name]
    base = root / folder / name
    images, maps, _ = fake.scene(seed, len(NUMBERS), HEIGHT, WIDTH)
    maps[2] = 0  # a frame without tools
    files = {number: f"{folder}/{name}/Frames/{number:06d}.png" for number in NUMBERS}
    if is_movie:
        longer = [images[min(t // 25, len(NUMBERS) - 1)] for t in range(NUMBERS[-1] + 4)]
        fake.write_video(base / f"{name.lower()}.mp4", longer, fps=25)
        seen = fake.read_video(base / f"{name.lower()}.mp4", [n - 1 for n in NUMBERS])
        files = dict.fromkeys(NUMBERS, f"{folder}/{name}/{name.lower()}.mp4")
    else:
        seen = [fake.write_image(root / files[n], images[t]) for t, n in enumerate(NUMBERS)]
    rng = np.random.default_rng(seed)
    entries, frames = {}, []
    for t, number in enumerate(NUMBERS):
        shift = 25 if name == "VID31" else 0
        tools, extra = _tools(maps[t], phase=t % 3, rng=rng)
        entries[str(number + shift)] = tools
        frames.append(FakeFrame(str(number), seen[t], None, {}, files[number], extra=extra))
    _write(base / f"{name.lower()}.json", name, folder, entries)
    return FakeVideo(name, split, frames)


def _tools(instances: np.ndarray, phase: int, rng) -> tuple[list[dict], dict]:
    """Records of one frame, and what must be read back of them."""
    tools, boxes, kinds, tracks, operators, conditions = [], [], [], [], [], []
    for value in np.unique(instances[instances > 0]):
        rows, columns = np.nonzero(instances == value)
        corners = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
        x0, y0, x1, y1 = corners
        kind, operator = (int(value) - 1) % len(TOOL_NAMES), int(value) % 4
        flags = rng.random(len(CONDITIONS)) < 0.3
        overshoot = 0.5 if x0 == 0 else 0.0  # boxes of the set leave the image a little
        box = [(x0 - overshoot) / WIDTH, y0 / HEIGHT]
        box += [(x1 - x0 + overshoot) / WIDTH, (y1 - y0) / HEIGHT]
        track = (int(value), int(value) + 10, int(value) + 20)
        tools.append(
            dict(
                instrument=kind,
                tool_bbox=box,
                operator=operator,
                visibility_track=track[0],
                intracorporeal_track=track[1],
                intraoperative_track=track[2],
                phase=phase,
                score=1.0,
                **{key: int(flag) for key, flag in zip(CONDITIONS, flags, strict=True)},
            )
        )
        boxes.append(corners)
        kinds.append(kind)
        tracks.append(track)
        operators.append(operator)
        conditions.append(flags)
    extra = dict(
        phase=phase if tools else -1,
        has_tools=True,
        tools=[kind in kinds for kind in range(len(TOOL_NAMES))],
        boxes_xyxy=np.round(np.array(boxes, np.float32).reshape(-1, 4), 3),
        box_category=kinds,
        track_ids=np.array(tracks, np.int32).reshape(-1, 3),
        operator=operators,
        conditions=np.array(conditions, bool).reshape(-1, len(CONDITIONS)),
    )
    return tools, extra


def _write(path: Path, name: str, folder: str, entries: dict) -> None:
    content = dict(
        info=dict(dataset="CholecTrack20"),
        video=dict(
            name=name,
            split=folder.lower(),
            width=WIDTH,
            height=HEIGHT,
            num_frames=len(entries),
        ),
        categories=dict(
            tools=[dict(id=k, name=text) for k, text in enumerate(TOOLS_AS_SPELT)],
            operators=[dict(id=k, name=text) for k, text in enumerate(OPERATORS_AS_SPELT)],
        ),
        annotations=entries,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with such an archive."""
    labels, movie = "Training/VID02/vid02.json", "Testing/VID01/vid01.mp4"

    def edit(change):
        def apply(root: Path, _) -> None:
            content = json.loads((root / labels).read_text())
            change(content, content["annotations"]["26"][0])
            (root / labels).write_text(json.dumps(content))

        return apply

    def cut(root: Path, _) -> None:
        data = (root / movie).read_bytes()
        (root / movie).write_bytes(data[: len(data) // 2])

    def rename(old: str, new: str):
        return lambda root, _: (root / old).rename(root / new)

    return [
        *fake.common_breaks(videos),
        Break("instrument", edit(lambda _, tool: tool.update(instrument=7)), "instrument 7"),
        Break("operator", edit(lambda _, tool: tool.update(operator=9)), "operator 9"),
        Break("phase", edit(lambda _, tool: tool.update(phase=7)), "unknown label: phase 7"),
        Break("key missing", edit(lambda _, tool: tool.pop("tool_bbox")), "frame 26: .*tool_bbox"),
        Break(
            "box outside",
            edit(lambda _, tool: tool.update(tool_bbox=[0.5, 0.5, 0.6, 0.2])),
            "frame 26: box .* does not lie in the 96x64",
        ),
        Break(
            "tool of another name",
            edit(lambda content, _: content["categories"]["tools"][0].update(name="stapler")),
            "unknown label: 'stapler'",
        ),
        Break("spoilt JSON", lambda root, _: (root / labels).write_text("{"), "not JSON"),
        Break("no JSON", lambda root, _: (root / labels).unlink(), "expected one VID02.json"),
        Break(
            "frame missing",
            lambda root, _: (root / "Validation/VID17/Frames/000051.png").unlink(),
            "000051.png",
        ),
        Break("video cut off", cut, "not a video that can be read|damaged|the video ends"),
        Break(
            "operation in another split",
            rename("Testing/VID01", "Training/VID01"),
            "Training/VID01: expected test, found train",
        ),
        Break(
            "unknown operation",
            rename("Validation/VID17", "Validation/VID18"),
            "the set has no operation VID18",
        ),
    ]

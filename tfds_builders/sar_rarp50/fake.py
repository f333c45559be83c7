"""A fake SAR-RARP50: short AVI files of 60 frames a second, a mask each second.

Path:    kit.fake -> [sar_rarp50.fake] -> archive
"""

from pathlib import Path

import av
import cv2
import numpy as np

from tfds_builders.kit import fake, video_files
from tfds_builders.kit.fake import Break, FakeFrame, FakeVideo
from tfds_builders.sar_rarp50.builder import Builder

_VIDEOS = {"train1/video_02": "train", "train2/video_11_1": "train", "test/video_41": "test"}
_CLASSES = (3, 1, 5)
_SECONDS = 3


def make(root: Path, seed: int = 0) -> list[FakeVideo]:
    """Three clips; the last has no actions; the masks of the second are RGB, as some are."""
    videos = []
    for number, (place, split) in enumerate(_VIDEOS.items()):
        folder = root / place
        folder.mkdir(parents=True)
        images, maps, _ = fake.scene(seed + number, _SECONDS, 64, 96)
        _write_video(folder / "video_left.avi", images)
        wanted = [60 * t for t in range(_SECONDS)]
        seen = dict(video_files.jpegs(folder / "video_left.avi", wanted))
        has_actions = split == "train"
        if has_actions:
            last = 60 * (_SECONDS - 1)
            lines = [f"{i:09d},{_action(i)}" for i in range(0, last + 1, 6)]
            (folder / "action_discrete.txt").write_text("\n".join(lines) + "\n")
            (folder / "action_continues.txt").write_text("0.0,2.0,3\n")
        made = []
        for t, index in enumerate(wanted):
            classes = fake.as_classes(maps[t], _CLASSES).astype(np.uint8)
            mask = folder / "segmentation" / f"{index:09d}.png"
            fake.write_labels(mask, np.stack([classes] * 3, -1) if number == 1 else classes)
            names = dict(enumerate(Builder.CATEGORIES, 1))
            made.append(
                FakeFrame(
                    mask.stem,
                    _decoded(seen[index]),
                    classes,
                    fake.present(classes, names),
                    f"{place}/video_left.avi",
                    (mask.relative_to(root).as_posix(),),
                    {"action": _action(index) if has_actions else -1},
                )
            )
        videos.append(FakeVideo(folder.name, split, made))
    return videos


def _action(index: int) -> int:
    return index // 60 % 8


def _decoded(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise RuntimeError("a frame of the fake video cannot be decoded.")
    return np.ascontiguousarray(image[..., ::-1])


def _write_video(path: Path, images: np.ndarray) -> None:
    """Each image for a second, and the last one once."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=60)
        stream.width, stream.height, stream.pix_fmt = images.shape[2], images.shape[1], "yuv420p"
        for index in range(60 * (len(images) - 1) + 1):
            picture = av.VideoFrame.from_ndarray(images[index // 60], format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def breaks(videos: list[FakeVideo]) -> list[Break]:
    """What can be wrong with this archive."""
    mask, video = videos[0].frames[1].labels[0], videos[0].frames[0].image
    actions = Path(video).with_name("action_discrete.txt")

    def cut_video(root: Path, _) -> None:
        data = (root / video).read_bytes()
        (root / video).write_bytes(data[: len(data) // 2])

    general = [b for b in fake.common_breaks(videos) if b.name != "mask missing"]  # defines frames
    return [
        *general,
        Break("no video", lambda root, _: (root / video).unlink(), "video_left.avi"),
        Break("video cut short", cut_video, "video_left.avi"),
        Break("no video at all", lambda root, _: (root / video).write_bytes(b"x"), "not a video"),
        Break(
            "mask after the end",
            lambda root, _: (root / mask).rename((root / mask).with_name("000000180.png")),
            "video_left.avi",
        ),
        Break(
            "unknown class",
            lambda root, _: fake.write_value(root / mask, 10),
            "unknown label value 10",
        ),
        Break(
            "unknown action",
            lambda root, _: (root / actions).write_text("000000000,8\n"),
            "action_discrete.txt:1: unknown label: action 8",
        ),
        Break(
            "spoilt actions",
            lambda root, _: (root / actions).write_text("000000000;1\n"),
            "action_discrete.txt:1: expected",
        ),
        Break(
            "unknown clip",
            lambda root, _: (root / video).parent.rename(root / "train1/video_51"),
            "expected video_01 to video_50",
        ),
        Break(
            "a training clip among the test clips",
            lambda root, _: (root / video).parent.rename(root / "test/video_02"),
            "video_02: expected in train, found in test",
        ),
    ]

"""TFDS builder of Cholec80.

Path:    videos/*.mp4, phase and tool files -> [cholec80] -> labels over time
Axes:    tools [7] bool.
Units:   every 25th frame of 25 a second is stored: one a second; time_s of the source video.
Errors:  ArchiveError, CorruptImage, LabelError with the file and what it should hold.
Source:  Twinanda et al. 2017, arXiv:1602.03012.
Differs: a last label that lies behind the end of its video, by less than a second, is left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfds_builders.cholec80.names import PHASES, TOOLS
from tfds_builders.kit import splits, video_files
from tfds_builders.kit.archive import ArchiveError, CorruptImage, Frame, Video
from tfds_builders.kit.builder import instructions
from tfds_builders.kit.timeline import Moment, TimelineBuilder

SOURCE_FPS = 25.0
STEP = 25


class Builder(TimelineBuilder):
    """Cholec80: laparoscopic cholecystectomy with phases and tools present, 1 frame a second."""

    name = "cholec80"
    FOLDER = Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(FOLDER)
    KNOWN_FILES = ("*-timestamp.txt", "*.md", "README*", "LICENSE*", "*.pdf")
    PHASES = tuple(PHASES.values())
    TOOLS = tuple(TOOLS.values())
    LICENCE = "CC BY-NC-SA 4.0"
    CITATION = "Twinanda et al., EndoNet, IEEE TMI 36 (2017), arXiv:1602.03012."

    def find(self, root: Path) -> list[Video]:
        table = splits.official(self.FOLDER)
        videos = []
        for path in sorted((root / "videos").glob("video*.mp4")):
            name = path.stem
            if name not in table:
                raise ArchiveError(f"{path}: splits/official.txt names no {name}.")
            videos.append(_video(root, path, table[name]))
        return videos

    def named_splits(self, videos):
        own = splits.cholec80_global(video.patient for video in videos)
        return {**super().named_splits(videos), **own}

    def check(self, root, videos, report):
        report.compare("videos", 80, len(videos), sure=True)
        for split in ("train", "test"):
            count = sum(video.split == split for video in videos)
            report.compare(f"videos in {split}", 40, count, sure=True)
        rates, found_sizes = set(), set()
        for video in videos:
            path = root / video.frames[0].image
            try:
                rate, length, size = video_files.facts(path)
            except CorruptImage as error:
                report.error("corrupt", video.frames[0].image, "a video", error)
                continue
            rates.add(round(rate, 2))
            found_sizes.add(size)
            last = video.frames[-1].note[0]
            if length and last >= length:
                report.error(
                    "count", video.video_id, f"a video longer than label {last}", f"{length} frames"
                )
        if rates:
            report.compare("frames a second", [SOURCE_FPS], sorted(rates), sure=False)
            report.fact("sizes", ", ".join(f"{w}x{h}" for w, h in sorted(found_sizes)))
        with_tools = sum(f.note[2] is not None for video in videos for f in video.frames)
        report.compare("frames with tool labels", 184_498, with_tools, sure=False)

    def open_frames(self, root: Path, video: Video) -> Iterator[tuple[Frame, bytes, Any]]:
        numbers = [frame.note[0] for frame in video.frames]
        images = video_files.jpegs(root / video.frames[0].image, numbers)
        for frame, (_, data) in zip(video.frames, images, strict=True):
            yield frame, data, None

    def moment(self, root: Path, video: Video, frame: Frame, opened: Any) -> Moment:
        _, phase, tools = frame.note
        return Moment(phase=phase, tools=tools)


def _video(root: Path, path: Path, split: str) -> Video:
    labels = [
        f"phase_annotations/{path.stem}-phase.txt",
        f"tool_annotations/{path.stem}-tool.txt",
    ]
    phases, tools = read_phases(root / labels[0]), read_tools(root / labels[1])
    image = path.relative_to(root).as_posix()
    numbers, length = sorted({*phases, *tools}), _length(path)
    if numbers and length and length <= numbers[-1] < length + STEP:
        numbers.pop()
    frames = [
        Frame(
            image,
            str(number),
            tuple(labels),
            time_s=number / SOURCE_FPS,
            note=(number, phases.get(number), tools.get(number)),
        )
        for number in numbers
    ]
    number = int(path.stem.removeprefix("video"))
    return Video(
        path.stem,
        split,
        tuple(frames),
        procedure="cholecystectomy",
        patient=splits.cholec80_patient(number),
        fps=SOURCE_FPS / STEP,
    )


def _length(path: Path) -> int:
    """Frames as the container claims; 0 if it does not, or cannot be read (`check` tells)."""
    try:
        return video_files.facts(path)[1]
    except CorruptImage:
        return 0


def read_phases(path: Path) -> dict[int, str]:
    """{frame: phase} of every 25th frame; empty if there is no such file. Unknown names stay."""
    return {number: PHASES.get(words[0], words[0]) for number, words, _ in _rows(path, 2)}


def read_tools(path: Path) -> dict[int, tuple[str, ...]]:
    """{frame: tools present}; empty if there is no such file. Columns are read by their names."""
    result = {}
    for number, words, header in _rows(path, 1 + len(TOOLS)):
        if set(words) - {"0", "1"}:
            raise ArchiveError(f"{path}: frame {number}: expected 0 or 1, found {words}.")
        present = [name for name, word in zip(header, words, strict=True) if word == "1"]
        result[number] = tuple(TOOLS.get(name, name) for name in present)
    return result


def _rows(path: Path, columns: int) -> Iterator[tuple[int, list[str], list[str]]]:
    """(frame, words after it, header after its first word) of every 25th frame."""
    if not path.is_file():
        return
    header: list[str] = []
    with open(path, encoding="utf-8-sig") as stream:
        for line_number, line in enumerate(stream, 1):
            words = line.split()
            if not words:
                continue
            if len(words) != columns or (line_number == 1) == words[0].isdigit():
                expected = f"{columns} columns, a header first and then frame numbers"
                raise ArchiveError(f"{path}:{line_number}: expected {expected}, found {line!r}.")
            if line_number == 1:
                header = words[1:]
            elif int(words[0]) % STEP == 0:
                yield int(words[0]), words[1:], header

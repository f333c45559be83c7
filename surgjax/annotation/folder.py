"""The folder of one video's annotations: prompts, painted masks, results, and a lock.

Path:    [folder] <- session
Units:   pixels; frame indices count decoded frames from 0.
Errors:  FolderError naming the folder or file, what was expected and what was found.
Source:  ours.
Differs: nothing to compare with. prompts.json is the file that `experiments.track` reads, whole
         after every edit; session.json has only what that file cannot say (objects without a
         prompt). Painted masks are named by their content, so none is ever written over.
"""

import fcntl
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from surgjax.annotation.document import Document, Item, Marks
from surgjax.inference.frames import FrameSource
from surgjax.inference.mask_writer import write_file
from surgjax.inference.prompt_file import PromptError, PromptFile, read_prompts

PROMPTS, SESSION, MASKS, LOCK = "prompts.json", "session.json", "painted", "lock"
TRACKS = "tracks-"  # and a sum of the model's settings
_VERSION = 1


class FolderError(ValueError):
    """A folder that cannot be annotated in."""


def video_facts(source: FrameSource) -> dict[str, Any]:
    """What tells one video from another."""
    return {
        "frames": len(source),
        "width": source.width,
        "height": source.height,
        "first_frame": zlib.crc32(np.ascontiguousarray(source[0]).tobytes()),
    }


class AnnotationFolder:
    """Opened by one process at a time; `close` frees it."""

    def __init__(self, path: str | Path, source: FrameSource):
        self.path = Path(path)
        self.facts = video_facts(source)
        if self.path.exists() and not self.path.is_dir():
            raise FolderError(f"--output={self.path} is a file; a folder expected.")
        known = (self.path / SESSION).exists()
        # A kill may have come right after the lock was made.
        if self.path.is_dir() and not known and any(e.name != LOCK for e in self.path.iterdir()):
            raise FolderError(
                f"--output={self.path} holds other things than annotations (it has no {SESSION}); "
                "name a new or an empty folder."
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock: int | None = self._locked()
            if not known:
                self._write_session({"objects": []})
        except OSError as error:
            reason = error.strerror or error
            raise FolderError(f"--output={self.path} cannot be written: {reason}.") from None

    def _locked(self) -> int:
        handle = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = os.read(handle, 20).decode() or "unknown"
            os.close(handle)
            raise FolderError(
                f"--output={self.path} is being annotated by another server (process {process}); "
                "use that one, stop it, or name another folder."
            ) from None
        os.truncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        return handle

    def close(self) -> None:
        """Frees the folder for another process; the system does so too, however this one ends."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # ---- what was said -------------------------------------------------------------------------

    def load(self) -> Document:
        """The document that `save` wrote; prompts.json may have been edited by hand since."""
        path = self.path / SESSION
        try:
            session = json.loads(path.read_text(encoding="utf-8"))
            version, video, objects = (session[k] for k in ("annotation", "video", "objects"))
            listed = [(int(item["id"]), item["name"]) for item in objects]
            video = dict(video)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FolderError(f"{path} is not a session of this program: {error}.") from None
        if version != _VERSION:
            raise FolderError(f"{path}: version {_VERSION} expected, {version} found.")
        if video != self.facts:
            changed = ", ".join(
                f"{name} {video.get(name)} there, {now} here"
                for name, now in self.facts.items()
                if video.get(name) != now
            )
            raise FolderError(
                f"--output={self.path} holds annotations of another video ({changed})."
            )
        items = {}
        if (self.path / PROMPTS).exists():
            items = {item.object_id: item for item in self.read(self.path / PROMPTS)}
        document = [items.pop(i, None) or Item(i, name) for i, name in listed]
        return (*document, *items.values())

    def read(self, path: Path) -> Document:
        """A prompts file as a document. Masks outside this folder are taken into it."""
        try:
            prompts = read_prompts(
                path, self.facts["width"], self.facts["height"], self.facts["frames"]
            )
        except PromptError as error:
            raise FolderError(str(error)) from None
        return self._document(prompts)

    def _document(self, prompts: PromptFile) -> Document:
        document = []
        for item in prompts.objects:
            marks = {}
            for prompt in item.prompts:
                points = () if prompt.points_xy is None else prompt.points_xy.tolist()
                labels = () if prompt.labels is None else prompt.labels.tolist()
                box = None if prompt.box_xyxy is None else tuple(map(_whole, prompt.box_xyxy))
                mask = None if prompt.mask is None else self.save_mask(prompt.mask)
                pairs = tuple((_whole(x), _whole(y)) for x, y in points)
                marks[prompt.frame_index] = Marks(
                    pairs, tuple(labels), box, mask, prompt.is_correction
                )
            document.append(Item(item.object_id, item.name, marks))
        return tuple(document)

    def save(self, document: Document) -> None:
        """Writes what was said, each file whole or not at all."""
        prompts = [
            {
                "id": item.object_id,
                **({} if item.name is None else {"name": item.name}),
                "prompts": [marks.entry(frame) for frame, marks in item.marks.items()],
            }
            for item in document
            if item.marks
        ]
        objects = [{"id": item.object_id, "name": item.name} for item in document]
        self._write_session({"objects": objects})
        if prompts:
            text = json.dumps({"objects": prompts}, indent=1, ensure_ascii=False) + "\n"
            write_file(self.path / PROMPTS, text.encode())
        else:
            (self.path / PROMPTS).unlink(missing_ok=True)

    def _write_session(self, session: dict[str, Any]) -> None:
        session = {"annotation": _VERSION, "video": self.facts, **session}
        text = json.dumps(session, indent=1, ensure_ascii=False) + "\n"
        write_file(self.path / SESSION, text.encode())

    # ---- painted masks -------------------------------------------------------------------------

    def save_mask(self, mask: np.ndarray) -> str:
        """Writes a mask (H, W), bool; its name relative to the folder says what is in it."""
        # Of the pixels, not of the file: another version of Pillow writes the same mask otherwise.
        pixels = str(mask.shape).encode() + np.packbits(np.asarray(mask, bool)).tobytes()
        name = f"{MASKS}/{hashlib.sha256(pixels).hexdigest()[:16]}.png"
        path = self.path / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            buffer = io.BytesIO()
            Image.fromarray(np.asarray(mask, np.uint8) * 255).convert("1").save(buffer, "PNG")
            write_file(path, buffer.getvalue())
        return name

    def read_mask(self, name: str) -> np.ndarray:
        """A mask (H, W), bool, that `save_mask` wrote."""
        with Image.open(self.path / name) as image:
            return np.array(image) != 0

    def drop_masks(self, items: Iterable[Item]) -> None:
        """Deletes painted masks that none of these refers to."""
        used = {marks.mask for item in items for marks in item.marks.values()}
        for path in (self.path / MASKS).glob("*.png"):
            if f"{MASKS}/{path.name}" not in used:
                path.unlink()

    def tracks(self, settings: dict[str, Any]) -> Path:
        """The folder of results of one model; those of another lie beside it, untouched."""
        text = json.dumps(settings, sort_keys=True, default=str)
        return self.path / f"{TRACKS}{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _whole(value: float) -> int | float:
    """An integer where it is one: files made elsewhere may have fractions of pixels."""
    value = float(value)
    return int(value) if value.is_integer() else value

"""Scripts of frames for memory policies, and DiveMem written as the specification has it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from surgjax.memory.memory_bank import EMPTY, MemoryEntry
from surgjax.memory.policies import Clock
from surgjax.memory.registry import build_policy
from surgjax.testing import debug_config

CONFIG = debug_config().replace(memory_dim=2, hidden_dim=4, image_size=32)
TOKENS = CONFIG.grid**2


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame of a script: its memory points along `angle` degrees, so that cosines are known."""

    index: int
    angle: float = 0.0
    iou: float = 1.0
    score: float = 1.0
    prompted: bool = False
    likeness: float | None = None  # cosine of the pointer to that of a prompt with likeness 1

    @property
    def memory(self) -> np.ndarray:
        turn = np.deg2rad(self.angle)
        return np.tile(np.array([np.cos(turn), np.sin(turn)], np.float32), (TOKENS, 1))

    @property
    def pointer(self) -> np.ndarray:
        if self.likeness is None:
            return np.full(4, self.index, np.float32)
        rest = np.sqrt(1 - self.likeness**2)
        return np.array([3 * self.likeness, 3 * rest, 0, 0], np.float32)

    def entry(self) -> MemoryEntry:
        return MemoryEntry(
            features=jnp.asarray(self.memory),
            pointer=jnp.asarray(self.pointer),
            frame_index=jnp.int32(self.index),
            is_conditioning=jnp.bool_(self.prompted),
            object_score=jnp.float32(self.score),
            iou=jnp.float32(self.iou),
        )


def policy(name, options="", config=CONFIG, dtype=jnp.float32):
    return build_policy(name, config, options, dtype=dtype)


def run(memory, frames, bank=None):
    """The bank after a script, through one compiled write."""
    write = jax.jit(memory.write)
    bank = memory.init() if bank is None else bank
    for frame in frames:
        bank = write(bank, frame.entry())
    return bank


def long_frames(bank):
    """Frame indices kept for long, in the order of their choice."""
    order, index = np.asarray(bank.order), np.asarray(bank.index)
    return [int(index[k]) for k in np.argsort(order) if order[k] != EMPTY]


def clock(at, reverse=False, num_frames=100_000):
    return Clock(jnp.int32(at), jnp.int32(-1 if reverse else 1), jnp.int32(num_frames))


class Specification:
    """The rule of SAM2S's DiveMem (or of ReSurgSAM2's DLM) with plain lists, as it is specified.

    Departing from one conditioning frame: a prompt on the way empties the buffer when it is met.
    """

    def __init__(self, delta=5, long=3, gamma=0.95, presence=True, follow=True):
        self.delta, self.long, self.gamma = delta, long, gamma
        self.presence, self.follow = presence, follow
        self.prompts: list[Frame] = []
        self.kept: list[Frame] = []
        self.buffer: list[Frame] = []
        self.reference: Frame | None = None

    def write(self, frame: Frame) -> None:
        if frame.prompted:
            self.prompts.append(frame)
            self.buffer = []
            if self.follow or not self.kept:
                self.reference = frame
            return
        if not frame.iou > self.gamma or (self.presence and not frame.score > 0):
            return
        self.buffer.append(frame)
        if len(self.buffer) < self.delta:
            return
        alike = [cosine(c.memory, self.reference.memory) for c in self.buffer]
        least = self.buffer[alike.index(min(alike))]
        self.kept = [*self.kept, least][-self.long :]
        self.reference, self.buffer = least, []

    def read(self, at: int) -> list[int]:
        """Frames kept for long that are read at this frame, travelling forward."""
        return [f.index for f in self.kept if at - f.index > 6]


def cosine(a: np.ndarray, b: np.ndarray) -> np.float32:
    """In float32, as ours, so that ties are ties in both."""
    a, b = a.reshape(-1), b.reshape(-1)
    return np.float32((a * b).sum() / np.float32(np.linalg.norm(a) * np.linalg.norm(b)))

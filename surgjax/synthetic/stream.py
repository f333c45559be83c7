"""A clip frame by frame: memory stays bounded however long the operation is.

Path:    scene, effects, flow, depth, tracks -> [stream] -> clip, and whoever reads long clips
Axes:    frame_u8 [S, S, 3]; maps [S, S]; per object [O]; see Frame.
Units:   pixels and millimetres. Motion is drawn for the whole clip beforehand: about 72 bytes for
         each piece and frame, 3 kB a frame; pictures are made one at a time.
Errors:  ValueError for a size, a count, a seed or a kind of truth that does not exist.
"""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np

from surgjax.synthetic import flow, tracks
from surgjax.synthetic.config import SceneConfig
from surgjax.synthetic.depth import DepthModel
from surgjax.synthetic.effects import Optics
from surgjax.synthetic.procedure import VERBS
from surgjax.synthetic.scene import Layer, Scene

PIXEL_TRUTHS = ("depth", "flow", "amodal")  # made only when asked for
_DEPTH_SALT, _DETAIL_SALT = 71, 72  # streams of their own: frames stay the same with and without


@dataclasses.dataclass(frozen=True)
class Picture:
    """One frame and its truth in pixels. Flow leads to the next frame; the last one has none."""

    frame_u8: np.ndarray  # [S, S, 3]
    label_map: np.ndarray  # [S, S] uint8, object ids
    part_map: np.ndarray  # [S, S] uint8
    depth_mm: np.ndarray | None = None  # [S, S] float32
    amodal_masks: np.ndarray | None = None  # [O, S, S] bool, with what is hidden by others
    flow_px: np.ndarray | None = None  # [S, S, 2] float32
    flow_valid: np.ndarray | None = None  # [S, S] bool


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the script says, whatever can be seen of it: arrays [T] and [T, O]."""

    phase_ids: np.ndarray  # int32, index of procedure.PHASES; -1 where there is no operation
    cuts: np.ndarray  # bool
    in_body: np.ndarray  # bool
    verb_ids: np.ndarray  # int32, index of procedure.VERBS; -1: idle
    target_ids: np.ndarray  # int32, object id; 0: none


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame with all that is known about it without looking ahead."""

    index: int
    picture: Picture
    boxes_xyxy: np.ndarray  # [O, 4] float32
    track_ids: np.ndarray  # [O, 3] int32
    in_body: np.ndarray  # [O] bool
    phase_id: int
    verb_ids: np.ndarray  # [O] int32, where tool and target are both in sight
    target_ids: np.ndarray  # [O] int32
    is_cut: bool


class ClipStream:
    """Draws one world; iterating makes its frames, the same ones each time."""

    def __init__(
        self,
        seed: int,
        num_frames: int,
        size: int = 256,
        config: SceneConfig | None = None,
        truth: tuple[str, ...] = (),
        attempt: int = 0,
    ):
        if seed < 0 or num_frames < 1 or size < 32:
            raise ValueError(
                "Expected seed >= 0, num_frames >= 1, size >= 32, found "
                f"{seed}, {num_frames}, {size}."
            )
        unknown = sorted(set(truth) - set(PIXEL_TRUTHS))
        if unknown:
            raise ValueError(f"truth: expected some of {PIXEL_TRUTHS}, found {unknown}.")
        config = config or SceneConfig()
        rng = np.random.default_rng((seed, attempt))
        self.num_frames, self.size, self.truth = num_frames, size, frozenset(truth)
        self.scene = Scene(rng, num_frames, size, config)
        self.optics = Optics(rng, num_frames, size, config)
        self.optics.follow(self.scene.carry, self.scene.cuts)
        self._depth = None
        if "depth" in truth:
            depth_rng = np.random.default_rng((seed, attempt, _DEPTH_SALT))
            self._depth = DepthModel(depth_rng, self.scene)
        self._detail = 1.0
        if config.detail != (1.0, 1.0):
            detail_rng = np.random.default_rng((seed, attempt, _DETAIL_SALT))
            self._detail = float(detail_rng.uniform(*config.detail))
        things = self.scene.objects
        self._shown = [i for i, thing in enumerate(things) if thing.kind != "unlabelled"]
        self._table = np.zeros(256, np.uint8)
        self._table[np.array(self._shown, int) + 1] = np.arange(1, len(self._shown) + 1)
        self.object_ids = tuple(range(1, len(self._shown) + 1))
        self.object_names = tuple(things[i].name for i in self._shown)
        self.object_classes = tuple(things[i].kind for i in self._shown)
        self.facts = self._read_script()

    def _read_script(self) -> Facts:
        shape = (self.num_frames, len(self._shown))
        in_body, verbs = np.ones(shape, bool), np.full(shape, -1, np.int32)
        targets, phases = np.zeros(shape, np.int32), np.full(self.num_frames, -1, np.int32)
        stage = self.scene.stage
        if stage is not None:
            phases = stage.script.phase_ids
            tools = [stage.tools[i] for i in self._shown]
            for act in stage.script.acts:
                span = slice(max(0, act.first), max(0, act.last + 1))
                column = tools.index(act.tool)
                verbs[span, column] = VERBS.index(act.verb)
                targets[span, column] = 1 + self.object_names.index(act.target)
            for column, tool in enumerate(tools):
                if tool >= 0:
                    in_body[:, column] = stage.script.in_body[:, tool]
        return Facts(phases, self.scene.cuts, in_body, verbs, targets)

    def pictures(self) -> Iterator[Picture]:
        """The frames in order, with the truth in pixels that was asked for."""
        waiting, owner = None, None
        for t in range(self.num_frames):
            layers: list[Layer] = []
            picture = self._develop(t, layers)
            if "flow" in self.truth:  # needs to know what the next frame shows
                next_owner = flow.owner_map(self.scene, layers, self.optics.rim)
                if waiting is not None and owner is not None:
                    field, valid = flow.forward(self.scene, t - 1, owner, next_owner)
                    yield dataclasses.replace(waiting, flow_px=field, flow_valid=valid)
                waiting, owner = picture, next_owner
            else:
                yield picture
        if waiting is not None:
            yield waiting

    def _develop(self, t: int, layers: list[Layer]) -> Picture:
        image, labels, parts = self.scene.render(t, layers)
        if self._detail < 1:
            small = max(8, round(self.size * self._detail))
            image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
            image = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_LINEAR)
        frame = self.optics.develop(image, labels, parts, t)
        rim = self.optics.rim
        depth = None if self._depth is None else self._depth.visible(t, layers, rim)
        amodal = self._amodal(layers, rim) if "amodal" in self.truth else None
        return Picture(frame, self._table[labels], parts, depth, amodal)

    def _amodal(self, layers: list[Layer], rim) -> np.ndarray:
        masks = np.zeros((len(self._shown), self.size, self.size), bool)
        for layer in layers:
            number = self._table[layer.index + 1]
            if number:
                masks[number - 1][layer.area] |= layer.alpha > 127
        if rim is not None:
            masks &= rim >= 0.5
        return masks

    def __iter__(self) -> Iterator[Frame]:
        count, book = len(self._shown), tracks.TrackBook(len(self._shown))
        for t, picture in enumerate(self.pictures()):
            visible = np.bincount(picture.label_map.ravel(), minlength=count + 1)[1:] > 0
            body = self.facts.in_body[t]
            verbs, targets = acting(self.facts.verb_ids[t], self.facts.target_ids[t], visible)
            yield Frame(
                t,
                picture,
                tracks.boxes_of(picture.label_map, count),
                book.update(visible, body),
                body,
                int(self.facts.phase_ids[t]),
                verbs,
                targets,
                bool(self.facts.cuts[t]),
            )


def acting(verb_ids: np.ndarray, target_ids: np.ndarray, visible: np.ndarray):
    """Verbs and targets [..., O] where tool and target are both in sight; else -1 and 0."""
    sight = np.concatenate([np.zeros_like(visible[..., :1]), visible], -1)
    done = visible & np.take_along_axis(sight, target_ids, -1)
    return np.where(done, verb_ids, np.int32(-1)), np.where(done, target_ids, np.int32(0))


def stream_clip(
    seed: int, num_frames: int, size: int = 256, config=None, truth: tuple[str, ...] = ()
) -> ClipStream:
    """A clip to iterate over; frames as `generate_clip` makes them, but ids count every object.

    `generate_clip` drops objects that never show, which only the end of a clip can tell.
    """
    return ClipStream(seed, num_frames, size, config, truth)

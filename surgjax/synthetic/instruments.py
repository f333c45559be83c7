"""Instruments: a shaft from beyond the border, a wrist that bends, jaws that open.

Path:    sprites, jaws, motion -> [instruments] -> scene -> compositor
Axes:    matrices are [T, 3, 3] sprite pixel -> frame pixel, one per part and frame.
Units:   pixels of the frame, x right, y down; angles in radians.
"""

import dataclasses

import cv2
import numpy as np

from surgjax.synthetic import jaws, motion, noise, sprites

SHAFT, WRIST, JAWS = 1, 2, 3  # values of part maps; 0 elsewhere


@dataclasses.dataclass
class Piece:
    """One sprite and where it is in every frame; `part` is SHAFT, WRIST, JAWS or 0.

    `opens` is the side to which a jaw of a pair opens, 1 or -1; 0 for all else.
    """

    sprite: sprites.Sprite
    matrices: np.ndarray
    part: int
    opens: int = 0


@dataclasses.dataclass
class Pose:
    """How an instrument stands, frame by frame: what moves its pieces; see `repose`."""

    at_xy: np.ndarray  # [T, 2] end of the shaft
    theta: np.ndarray  # [T] where the shaft points
    angle: np.ndarray  # [T] where the wrist points
    yaw: np.ndarray  # [T] of the jaws against the wrist
    opening: np.ndarray  # [T] angle between the jaws
    zoom: np.ndarray  # [T] its own size, about 1
    hub: float  # from `at_xy` to the jaws' hinge, along the wrist


@dataclasses.dataclass
class SceneObject:
    """What one label stands for: pieces in painting order."""

    name: str
    kind: str
    pieces: list[Piece]
    height: float  # how far above the tissue, in pixels: how far its shadow falls
    pose: Pose | None = None  # of instruments


def similarity(joint_xy, at_xy, angle, scale: float | np.ndarray = 1.0) -> np.ndarray:
    """[T, 3, 3]: turns and scales about `joint_xy`, then puts it at `at_xy` ([T, 2])."""
    angle, scale = np.broadcast_arrays(np.asarray(angle, float), np.asarray(scale, float))
    at_xy = np.broadcast_to(at_xy, (*angle.shape, 2))
    cosine, sine = np.cos(angle) * scale, np.sin(angle) * scale
    matrices = np.zeros((*angle.shape, 3, 3))
    matrices[..., 0, 0], matrices[..., 0, 1] = cosine, -sine
    matrices[..., 1, 0], matrices[..., 1, 1] = sine, cosine
    jx, jy = joint_xy
    matrices[..., 0, 2] = at_xy[..., 0] - cosine * jx + sine * jy
    matrices[..., 1, 2] = at_xy[..., 1] - sine * jx - cosine * jy
    matrices[..., 2, 2] = 1
    return matrices


def _taper(sprite: sprites.Sprite, taper: float, length: float) -> np.ndarray:
    """[3, 3]: sprite pixels to joint coordinates, the far left end `taper` times as wide."""
    jx, jy = sprite.joint_xy
    rows = sprite.alpha.shape[0]
    half = (rows - 1) / 2
    source = np.array([[jx, 0], [jx, rows - 1], [0, rows - 1], [0, 0]], np.float32)
    target = np.array(
        [[0, -half], [0, half], [-length, half * taper], [-length, -half * taper]], np.float32
    )
    return cv2.getPerspectiveTransform(source, target)


def _wrist_path(rng, num_frames: int, side: int, config):
    """Where the shaft comes in (outside the frame) and where its wrist goes."""
    border = rng.choice(4, p=(0.29, 0.29, 0.27, 0.15))  # left, right, bottom, top
    along = rng.uniform(0.0, 1.0)
    entry = np.array([(0, along), (1, along), (along, 1), (along, 0)][border])
    aim = rng.uniform(0.2, 0.8, 2)
    inward = (aim - entry) / (np.linalg.norm(aim - entry) + 1e-6)
    pivot = entry - inward * rng.uniform(0.35, 1.2)
    reach = rng.uniform(*config.reach)
    spread = 0.22 if num_frames > 1 else 0.0
    centre = entry + inward * reach
    quick = rng.uniform(0.4, 1.0)
    wander = motion.keyed_curve(
        rng, num_frames, (-spread, -spread), (spread, spread), rng.uniform(5, 16), quick
    )
    path = centre + wander + motion.tremor(rng, num_frames, 2, 0.0015, 9)
    return pivot * side, path * side


def instrument(
    rng, num_frames: int, side: int, config, looks=None, kind=None, min_length=0.0
) -> SceneObject:
    """One random instrument and its whole movement.

    `looks` (shaft and metal material) makes it resemble another of the same scene; `kind` is drawn
    unless given; the shaft reaches at least `min_length` back from the wrist.
    """
    kind = kind or str(rng.choice(jaws.KINDS, p=_kind_weights(config)))
    width = noise.log_uniform(rng, config.shaft_width) * side
    pivot, at = _wrist_path(rng, num_frames, side, config)
    toward = at - pivot
    distance = np.linalg.norm(toward, axis=1)
    theta = np.arctan2(toward[:, 1], toward[:, 0])
    if num_frames > 6 and rng.random() < config.p_leave:
        # Straight back along its own axis, far enough for wrist and jaws to go too.
        away = motion.absence(rng, num_frames) * (config.reach[1] * side + 3.5 * width)
        at = at - toward / distance[:, None] * away[:, None]
        distance = distance + away
    zoom = 1 + motion.tremor(rng, num_frames, 1, 0.03, 30)[:, 0] * (num_frames > 1)
    wild = config.p_wild_colour
    stained = rng.random() < config.p_stains
    body, metal = looks or draw_looks(rng, config)
    pieces = []

    length = float(max(distance.max() + 0.2 * side, 1.3 * side, min_length))
    shaft = sprites.shaft(rng, 1.2 * side, width, body, stained)
    lift = _taper(shaft, rng.uniform(*config.shaft_taper), length)
    shaft_piece = Piece(shaft, similarity((0, 0), at, theta, zoom) @ lift, SHAFT)

    low, high = config.wrist_bend
    bend = motion.keyed_curve(rng, num_frames, low, high, rng.uniform(8, 20), 0.5)[:, 0]
    has_wrist = rng.random() >= config.p_no_wrist
    if kind in jaws.SINGLE:
        bend = bend * 0.3
        has_wrist = has_wrist and rng.random() < 0.5
    angle = theta + bend * (1.0 if has_wrist else 0.15)
    hub, reach, wrist_piece = at, 0.0, None
    wrist_width = width * rng.uniform(0.65, 1.05)
    if has_wrist:
        wrist_length = width * noise.log_uniform(rng, (0.7, 2.4))
        material = metal if rng.random() < 0.7 else _plastic(rng, body, wild)
        outline, holes = jaws.wrist(rng, wrist_length, wrist_width)
        joint = (0.06 * wrist_length, 0)
        count = int(rng.integers(2, 9)) if wrist_width > 6 else 0
        picture = sprites.solid(rng, outline, holes, joint, material, count, stained, "wrist")
        wrist_piece = Piece(picture, similarity(picture.joint_xy, at, angle, zoom), WRIST)
        step = np.stack([np.cos(angle), np.sin(angle)], -1) * (zoom * 0.86 * wrist_length)[:, None]
        hub, reach = at + step, 0.86 * wrist_length
    tips, yaw, opening = _tips(
        rng, kind, num_frames, width, hub, angle, zoom, config, (metal, body, stained)
    )
    middle = [p for p in (wrist_piece, shaft_piece) if p is not None]
    if rng.random() < 0.5:
        middle.reverse()
    pieces = [*tips[:1], *middle, *tips[1:]] if rng.random() < 0.6 else [*middle, *tips]
    pose = Pose(at, theta, angle, yaw, opening, zoom, reach)
    height = rng.uniform(0.01, 0.14) * side
    return SceneObject(jaws.NAMES.get(kind, kind), kind, pieces, height, pose)


def draw_looks(rng, config) -> tuple[sprites.Material, sprites.Material]:
    """Materials of a shaft and of its metal end."""
    if config.p_machined and rng.random() < config.p_machined:
        return sprites.worked_material(rng, "shaft"), sprites.worked_material(rng, "metal")
    wild = config.p_wild_colour
    return sprites.draw_material(rng, "shaft", wild), sprites.draw_material(rng, "metal", wild)


def _plastic(rng, body: sprites.Material, wild: float) -> sprites.Material:
    """The other material of an instrument, made the way its shaft is."""
    if body.finish is not None:
        return sprites.worked_material(rng, "plastic")
    return sprites.draw_material(rng, "plastic", wild)


def _kind_weights(config) -> np.ndarray:
    weights = np.array([3, 2, 2, 2.5, 3, 1.2, 1, 2, 1, 0.8])
    if config.favourite_kinds:
        unknown = sorted(set(config.favourite_kinds) - set(jaws.KINDS))
        if unknown:
            raise ValueError(f"favourite_kinds: expected some of {jaws.KINDS}, found {unknown}.")
        liked = [kind in config.favourite_kinds for kind in jaws.KINDS]
        weights = weights * np.where(liked, config.favour, 1.0)
    return weights / weights.sum()


def _frames_of(pose: Pose, opens: int, part: int) -> np.ndarray:
    """[T, 3, 3]: the frame of reference that pieces of this part are fixed to."""
    if part == SHAFT:
        return similarity((0, 0), pose.at_xy, pose.theta, pose.zoom)
    if part == WRIST:
        return similarity((0, 0), pose.at_xy, pose.angle, pose.zoom)
    along = np.stack([np.cos(pose.angle), np.sin(pose.angle)], -1)
    hinge = pose.at_xy + along * (pose.zoom * pose.hub)[:, None]
    turn = pose.angle + pose.yaw - opens * pose.opening / 2
    return similarity((0, 0), hinge, turn, pose.zoom)


def repose(thing: SceneObject, pose: Pose) -> None:
    """Moves an instrument, in place, as `pose` says instead of as it was drawn.

    Every piece keeps its place in its own part: the shaft, the wrist, or the jaw it belongs to.
    """
    if thing.pose is None:
        raise ValueError(f"{thing.name!r} is no instrument: it has no pose to change.")
    for piece in thing.pieces:
        before = _frames_of(thing.pose, piece.opens, piece.part)[0]
        fixed = np.linalg.inv(before) @ piece.matrices[0]
        piece.matrices = _frames_of(pose, piece.opens, piece.part) @ fixed
    thing.pose = pose


def _tips(rng, kind, num_frames, width, hub, angle, zoom, config, looks):
    """The pieces at the end, their yaw [T] and the angle [T] between them."""
    metal, body, stained = looks
    wild = config.p_wild_colour
    length = width * noise.log_uniform(rng, (0.7, 2.6))
    if kind in jaws.SINGLE:
        scale = {"probe": rng.uniform(0.8, 1.4), "suction": rng.uniform(0.6, 1.0)}.get(kind, 0.95)
        outline, holes = jaws.single_tip(rng, kind, length, width * scale)
        look = body if rng.random() < 0.4 else _plastic(rng, body, wild)
        look = metal if kind in ("hook", "suction") and rng.random() < 0.7 else look
        picture = sprites.solid(rng, outline, holes, (0.02 * length, 0), look, 0, stained, kind)
        still = np.zeros(num_frames)
        return [Piece(picture, similarity(picture.joint_xy, hub, angle, zoom), JAWS)], still, still
    thick = max(3.0, width * noise.log_uniform(rng, (0.2, 0.5)))
    outline, holes = jaws.jaw(rng, kind, length, thick)
    low, high = config.jaw_opening
    opening = motion.keyed_curve(rng, num_frames, low, high, rng.uniform(4, 14), 0.8)
    opening = opening[:, 0] * rng.uniform(0.3, 1.0)
    yaw = motion.keyed_curve(rng, num_frames, -0.5, 0.5, rng.uniform(8, 18), 0.5)[:, 0]
    spread = width * rng.uniform(0.05, 0.28)
    pieces = []
    for sign in (1, -1):
        flip = np.array((1, sign))
        joint = (0.04 * length, sign * spread * 0.5)
        shape = [np.asarray(hole) * flip for hole in holes]
        count = int(rng.integers(0, 3)) if thick > 6 else 0
        picture = sprites.solid(rng, outline * flip, shape, joint, metal, count, stained, kind)
        turn = angle + yaw - sign * opening / 2
        pieces.append(Piece(picture, similarity(picture.joint_xy, hub, turn, zoom), JAWS, sign))
    return pieces, yaw, opening

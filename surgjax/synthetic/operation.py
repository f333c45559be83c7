"""Puts the script of an operation on stage: organs in their places, tools that go to them.

Path:    procedure, anatomy, instruments -> [operation] -> scene
Axes:    curves are [T, 2] in world pixels; `carry` is [T, 3, 3], world -> frame.
Units:   pixels of the untouched view, whose middle is the middle of the world; angles in radians.
"""

import dataclasses

import numpy as np

from surgjax.synthetic import anatomy, instruments, motion, props
from surgjax.synthetic import organs as seated
from surgjax.synthetic.ground import Ground, Seat
from surgjax.synthetic.instruments import Pose, SceneObject, similarity
from surgjax.synthetic.procedure import TARGETS, Act, Script, draw_script

MARGIN = 0.35  # of the side: world beyond each border of the untouched view
_PORT = 1.45  # of the side: from the middle of the world to a port, outside of every view
# Where an organ lies (x, y from the middle), how large it is, and how often it is there.
_PLACES = {
    "liver": ((0.02, -0.36), 0.40, 1.0),
    "fat": ((-0.33, 0.27), 0.20, 0.7),
    "gallbladder": ((0.0, -0.06), 0.19, 1.0),
    "duct": ((-0.03, 0.22), 0.0, 1.0),
    "artery": ((0.17, 0.17), 0.0, 0.8),
}
_LENGTHS = {"liver": 2.6, "fat": 2.6, "gallbladder": 2.9}  # of a seat, in radii
_HAND_ANGLES = {"left": np.pi * 0.92, "right": np.pi * 0.12, "assistant": np.pi * 0.52}
# verb: stroke (of the side), frames per stroke, what the jaws do, pull (of the side)
_MANNERS = {
    "grasp": (0.004, 30, "hold", 0.02),
    "retract": (0.004, 40, "hold", 0.07),
    "dissect": (0.022, 11, "nibble", 0.0),
    "cut": (0.008, 14, "snip", 0.0),
    "clip": (0.004, 20, "squeeze", 0.008),
    "coagulate": (0.006, 16, "hold", 0.0),
    "aspirate": (0.030, 34, "hold", 0.0),
    "irrigate": (0.022, 28, "hold", 0.0),
    "palpate": (0.016, 18, "hold", 0.0),
    "suture": (0.030, 24, "nibble", 0.0),
}


@dataclasses.dataclass(frozen=True)
class Stage:
    """Objects in painting order, and which tool of the script each of them is (-1: none)."""

    objects: list[SceneObject]
    tools: list[int]
    script: Script


def set_stage(
    rng, num_frames: int, side: int, config, carry: np.ndarray, ground: Ground | None = None
) -> Stage:
    """Draws script, organs and tools, and moves the tools as the script says.

    With a `ground` the organs are seated in it and lit by its lamp.
    """
    targets = [name for name in TARGETS if rng.random() < _PLACES[name][2]]
    script = draw_script(rng, num_frames, targets, config)
    if ground is None:
        organs, places = _organs(rng, num_frames, side, config, targets)
    else:
        organs, places = _seated_organs(rng, num_frames, side, ground, targets)
    pulls = _pulls(rng, num_frames, side, script, targets)
    for name, organ in organs.items():
        shift = np.broadcast_to(np.eye(3), (num_frames, 3, 3)).copy()
        shift[:, :2, 2] = pulls[name]
        organ.pieces[0].matrices = carry @ shift @ organ.pieces[0].matrices
    order = rng.permutation(len(script.tools))
    looks = instruments.draw_looks(rng, config)
    ports = _ports(rng, side)
    tools = []
    for tool in order:
        own = looks if rng.random() < config.p_same_set else None
        made = _tool(rng, int(tool), num_frames, side, config, own, script, places, pulls, ports)
        for piece in made.pieces:
            piece.matrices = carry @ piece.matrices
        tools.append(made)
    lying = list(organs.values())
    if ground is not None:
        count = int(rng.integers(config.accessories[0], config.accessories[1] + 1))
        lying += [props.accessory(rng, num_frames, side, carry) for _ in range(count)]
    objects, numbers = [*lying, *tools], [*[-1] * len(lying), *map(int, order)]
    if rng.random() < config.p_thread:
        maker = anatomy if ground is None else props
        objects.append(maker.thread(rng, num_frames, side, carry))
        numbers.append(-1)
    if rng.random() < config.p_tissue_flap:
        if ground is None:
            objects.append(anatomy.flap(rng, num_frames, side, config, carry))
        else:
            onto = carry @ _from_canvas(ground, num_frames, side)
            objects.append(seated.flap(rng, ground, num_frames, onto, side))
        numbers.append(-1)
    return Stage(objects, numbers, script)


def _organs(rng, num_frames, side, config, targets):
    """Organs by name, their pieces in world pixels, and a place [2] and radius of each."""
    turn, mirror = rng.normal(0, 0.35), rng.choice((-1, 1))
    still = np.broadcast_to(np.eye(3), (num_frames, 3, 3))
    organs, places = {}, {}
    for name in targets:
        where, wanted, _ = _PLACES[name]
        if name in ("duct", "artery"):
            made = anatomy.duct(rng, num_frames, side, config, still)
            made.name = name
            scale, radius = 0.7 if name == "duct" else 0.5, 0.05 * side
        else:  # a sprite near the wanted size keeps its detail
            tries = [anatomy.organ(rng, num_frames, side, config, still, name) for _ in range(3)]
            radius = wanted * rng.uniform(0.85, 1.15) * side
            sizes = [np.sqrt((t.pieces[0].sprite.alpha > 127).sum() / np.pi) for t in tries]
            best = int(np.argmin(np.abs(np.log(np.array(sizes) / radius))))
            made, scale = tries[best], radius / sizes[best]
        x, y = np.array(where) * (mirror, 1) + rng.normal(0, 0.03, 2)
        at = 0.5 + np.array(
            (x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn))
        )
        spin = rng.uniform(0, 2 * np.pi) + motion.tremor(rng, num_frames, 1, 0.01, 40)[:, 0]
        piece = made.pieces[0]
        sprite_middle = (piece.sprite.alpha.shape[1] / 2, piece.sprite.alpha.shape[0] / 2)
        piece.matrices = similarity(sprite_middle, at * side, spin, scale)
        organs[name], places[name] = made, (at * side, radius)
    return organs, places


def _from_canvas(ground: Ground, num_frames: int, side: int) -> np.ndarray:
    """[T, 3, 3]: canvas pixels to world pixels."""
    matrices = np.broadcast_to(np.eye(3), (num_frames, 3, 3)).copy()
    matrices[:, :2, 2] = -((ground.width - side) // 2)
    return matrices


def _seated_organs(rng, num_frames: int, side: int, ground: Ground, targets):
    """As `_organs`, in a landscape: the gallbladder where it has a seat, the others about it."""
    world = _from_canvas(ground, num_frames, side)
    turn, mirror = rng.normal(0, 0.35), rng.choice((-1, 1))
    organs, places = {}, {}
    for name in targets:
        where, wanted, _ = _PLACES[name]
        x, y = np.array(where) * (mirror, 1) + rng.normal(0, 0.03, 2)
        turned = (x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn))
        at = (0.5 + np.array(turned)) * side
        radius = wanted * rng.uniform(0.85, 1.15) * side
        if name in ("duct", "artery"):  # up and down, between liver and bowel
            angle, length, radius = turn + np.pi / 2 + rng.normal(0, 0.35), 0.42 * side, 0.05 * side
        else:
            angle, length = rng.uniform(0, 2 * np.pi), _LENGTHS[name] * radius
        if name == "gallbladder":  # the fundus comes out from under the liver
            angle = turn + np.pi / 2 + rng.normal(0, 0.4)
        middle = at - world[0, :2, 2]
        seat = Seat(name, middle[0], middle[1], angle, length)
        organs[name] = seated.seated(rng, ground, seat, num_frames, world, side)
        places[name] = (at, radius)
    return organs, places


def _span(act: Act, num_frames: int) -> np.ndarray:
    """The frames of an act that are in the clip."""
    return np.arange(max(0, act.first), min(num_frames, act.last + 1))


def _envelope(act: Act, time: np.ndarray) -> np.ndarray:
    """How far into its action an act is: 1 in its middle, easing over a quarter at either end."""
    x = (time - act.first + 0.5) / (0.25 * (act.last - act.first + 1))
    x = np.clip(np.minimum(x, 4 - x), 0, 1)
    return x * x * (3 - 2 * x)


def _pulls(rng, num_frames, side, script, targets) -> dict[str, np.ndarray]:
    """How far each organ is pulled out of its place, [T, 2]."""
    pulls = {name: np.zeros((num_frames, 2)) for name in targets}
    for act in script.acts:
        way, force = rng.uniform(0, 2 * np.pi), _MANNERS[act.verb][3] * rng.uniform(0.5, 1) * side
        time = _span(act, num_frames)
        step = force * np.array((np.cos(way), np.sin(way)))
        pulls[act.target][time] += _envelope(act, time)[:, None] * step
    return pulls


def _ports(rng, side) -> dict[str, np.ndarray]:
    """Where each hand's trocar is: tools of one hand share it."""
    ports = {}
    for hand, angle in _HAND_ANGLES.items():
        angle = angle + rng.normal(0, 0.2)
        ports[hand] = (0.5 + _PORT * np.array((np.cos(angle), np.sin(angle)))) * side
    return ports


def _tool(rng, number, num_frames, side, config, looks, script, places, pulls, ports):
    """One instrument of the tray, posed for the whole clip in world pixels."""
    tool = script.tools[number]
    thing = instruments.instrument(rng, 1, side, config, looks, tool.kind, 2.2 * side)
    before = thing.pose
    assert before is not None
    jaw = _jaw_length(thing)
    acts = [act for act in script.acts if act.tool == number]
    port = ports[tool.hand]
    aim = _aim(rng, acts, num_frames, side, places, pulls)
    toward = aim - port
    low, high = config.wrist_bend
    bend = motion.keyed_curve(rng, num_frames, low, high, rng.uniform(14, 30), 0.4)[:, 0]
    angle = np.arctan2(toward[:, 1], toward[:, 0]) + bend * (0.6 if before.hub else 0.1)
    paired = any(piece.opens for piece in thing.pieces)
    yaw = motion.keyed_curve(rng, num_frames, -0.4, 0.4, rng.uniform(14, 30), 0.5)[:, 0] * paired
    zoom = 1 + motion.tremor(rng, num_frames, 1, 0.015, 30)[:, 0]
    tip = before.hub * _unit(angle) + 0.85 * jaw * _unit(angle + yaw)
    at = aim - tip * zoom[:, None]
    theta = np.arctan2(*(at - port).T[::-1])
    far = np.linalg.norm(at - port, axis=1) + before.hub + jaw
    at = at - _unit(theta) * (script.withdrawn[:, number] * far)[:, None]
    opening = _opening(rng, acts, num_frames, config) * paired
    instruments.repose(thing, Pose(at, theta, angle, yaw, opening, zoom, before.hub))
    return thing


def _unit(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def _jaw_length(thing: SceneObject) -> float:
    """From the hinge to the farthest covered pixel of the jaws."""
    pose, far = thing.pose, 0.0
    assert pose is not None
    hinge = pose.at_xy[0] + pose.zoom[0] * pose.hub * _unit(pose.angle)[0]
    for piece in thing.pieces:
        if piece.part == instruments.JAWS:
            rows, columns = np.nonzero(piece.sprite.alpha > 127)
            seen = np.stack([columns, rows, np.ones(len(rows))], -1) @ piece.matrices[0].T
            far = max(far, float(np.linalg.norm(seen[:, :2] - hinge, axis=1).max(initial=0)))
    return far


def _aim(rng, acts, num_frames, side, places, pulls) -> np.ndarray:
    """Where the tip wants to be, [T, 2]: at the place of each act, on the way between them."""
    time, keys, spots = np.arange(num_frames), [], []
    for act in acts:
        middle, radius = places[act.target]
        spots.append(middle + _unit(rng.uniform(0, 2 * np.pi)) * radius * rng.uniform(0, 0.55))
        keys += [act.first, act.last]
    names = list(pulls)
    pulled = np.stack([pulls[name] for name in names])
    target = np.array([names.index(act.target) for act in acts])
    position = np.interp(time, keys, np.repeat(np.arange(len(acts)), 2))
    index = np.minimum(position.astype(int), len(acts) - 1)
    after = np.minimum(index + 1, len(acts) - 1)
    x = (position - index)[:, None]
    ease = x * x * (3 - 2 * x)
    spots = np.stack(spots)
    aim = (spots[index] + pulled[target[index], time]) * (1 - ease)
    aim += (spots[after] + pulled[target[after], time]) * ease
    for act in acts:
        stroke, period, _, _ = _MANNERS[act.verb]
        span = _span(act, num_frames)
        turn = 2 * np.pi / period * span + rng.uniform(0, 2 * np.pi)
        wave = np.stack([np.sin(turn), 0.6 * np.sin(0.7 * turn + 1)], -1)
        aim[span] += _envelope(act, span)[:, None] * wave * stroke * side
    return aim + motion.tremor(rng, num_frames, 2, 0.0015 * side, 9)


def _opening(rng, acts, num_frames, config) -> np.ndarray:
    """Angle between the jaws, [T]: a little open on the way, then as the verb asks."""
    wide = rng.uniform(0.5, 1.0) * config.jaw_opening[1]
    opening = np.full(num_frames, 0.25 * wide)
    for act in acts:
        manner, period = _MANNERS[act.verb][2], _MANNERS[act.verb][1]
        time = _span(act, num_frames)
        x = (time - act.first) / (act.last - act.first + 1)
        wave = 0.5 - 0.5 * np.cos(2 * np.pi * time / period)
        target = {
            "hold": np.full(len(time), 0.08 * wide),
            "nibble": wide * (0.15 + 0.4 * wave),
            "snip": wide * wave,
            "squeeze": wide * np.clip(1.4 - 1.8 * x, 0.1, 1.0),
        }[manner]
        opening[time] += _envelope(act, time) * (target - opening[time])
    return opening

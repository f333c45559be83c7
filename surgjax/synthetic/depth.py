"""Depth of every pixel: tissue with gentle relief, organs that bulge, instruments that slant.

Path:    scene -> [depth] -> stream
Axes:    depth [S, S] float32; layers in painting order.
Units:   millimetres from the camera along its axis; 0 behind the rim of the scope. A pixel is
         depth / focal_px(side) millimetres wide.
Differs: the model is made to be consistent, not measured. Tissue lies 60 to 110 mm away, tilted,
         with smooth relief of its own (not that of its shading). Soft things lie on what is under
         them and bulge by half their inflated silhouette. An instrument is a plane in inverse
         depth, the plane in which its shaft's taper is perspective: near the tissue at its tip,
         nearer to the camera towards its port, and flat across. Where it would cut through what
         it is painted over, the whole of it is lifted, already a little before they touch. A view
         that is zoomed in counts as a camera that came nearer: all depth is divided by the zoom.
"""

import cv2
import numpy as np

from surgjax.synthetic import noise, shading
from surgjax.synthetic.instruments import JAWS, SHAFT, SceneObject
from surgjax.synthetic.scene import Layer, Scene

VIEW_ANGLE = np.radians(70)
_GRID = 4  # pixels per cell of the coarse maps
_CLEARANCE = 1.0  # mm by which a lifted instrument clears what it crosses
_STEP = 0.5  # mm by which any later layer is nearer, whatever else
_FORESIGHT = 0.12  # of the side: how far ahead of touching an instrument begins to lift


def focal_px(side: int) -> float:
    """Focal length in pixels of a frame of this side."""
    return side / (2 * np.tan(VIEW_ANGLE / 2))


class DepthModel:
    """Drawn once for a clip; `visible` is what a frame shows."""

    def __init__(self, rng, scene: Scene):
        self.scene = scene
        rows, columns = (size // _GRID + 2 for size in scene.canvas.shape[:2])
        middle = rng.uniform(60, 110)
        tilt_x, tilt_y = rng.uniform(-0.15, 0.15, 2)
        grid_y, grid_x = np.mgrid[0:rows, 0:columns].astype(np.float32)
        slope = tilt_x * (grid_x / columns - 0.5) + tilt_y * (grid_y / rows - 0.5)
        relief = noise.fractal_noise(rng, rows, columns, rng.uniform(1.5, 4), 2)
        relief = np.clip(relief, -2.5, 2.5) * rng.uniform(0.01, 0.04)
        self.ground = (middle * (1 + slope + relief)).astype(np.float32)
        self.mm_per_px = middle / focal_px(scene.side)
        self._domes: dict[int, np.ndarray] = {}

    def visible(self, t: int, layers: list[Layer], rim: np.ndarray | None = None) -> np.ndarray:
        """What the camera sees in frame t."""
        depth, _ = self.surfaces(t, layers)
        if rim is not None:
            depth[rim < 0.5] = 0
        return depth

    def surfaces(self, t: int, layers: list[Layer]):
        """Depth seen, and {object: (mask, depth)} of every object whole, hidden or not."""
        side, scene = self.scene.side, self.scene
        zoom = np.sqrt(abs(np.linalg.det(scene.canvas_matrices[t][:2, :2])))
        seen, whole = self._tissue(t), {}
        tissue = seen.copy()
        for index in dict.fromkeys(layer.index for layer in layers):
            own = [layer for layer in layers if layer.index == index]
            mask, thing = np.zeros((side, side), bool), scene.objects[index]
            for layer in own:
                mask[layer.area] |= layer.alpha > 127
            if thing.pose is not None:
                surface = self._instrument(thing, t, mask, seen, tissue)
            else:
                surface = seen - self._bulge(own, t, zoom) - _STEP
            seen[mask] = surface[mask]
            whole[index] = (mask, surface / np.float32(zoom))
        return seen / np.float32(zoom), whole

    def _tissue(self, t: int) -> np.ndarray:
        map_x, map_y = self.scene.canvas_map(t)
        scale = np.float32(1 / _GRID)
        return cv2.remap(
            self.ground,
            map_x * scale,
            map_y * scale,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )

    def _bulge(self, layers: list[Layer], t: int, zoom: float) -> np.ndarray:
        side = self.scene.side
        total = np.zeros((side, side), np.float32)
        for layer in layers:
            sprite, matrix = layer.piece.sprite, layer.piece.matrices[t]
            if id(sprite) not in self._domes:
                self._domes[id(sprite)] = 0.5 * shading.solid_height(sprite.alpha, 0.9)
            local = np.array([[1, 0, -layer.x0], [0, 1, -layer.y0], [0, 0, 1]]) @ matrix
            size = layer.alpha.shape[::-1]
            dome = cv2.warpPerspective(self._domes[id(sprite)], local, size)
            scale = np.sqrt(abs(np.linalg.det(matrix[:2, :2]))) / zoom * self.mm_per_px
            np.maximum(total[layer.area], dome * np.float32(scale), out=total[layer.area])
        return total

    def _instrument(self, thing: SceneObject, t: int, mask, seen, tissue) -> np.ndarray:
        """Its plane, lifted as a whole over what is `seen` so far, and nowhere below it."""
        side = self.scene.side
        grid_x, grid_y = self.scene.grid
        shaft = next(piece for piece in thing.pieces if piece.part == SHAFT)
        row = np.linalg.inv(shaft.matrices[t])[2]  # proportional to inverse depth
        tip = _tip(thing, t)
        x, y = np.clip(np.rint(tip), 0, side - 1).astype(int)
        hover = max(thing.height * self.mm_per_px, _CLEARANCE)
        slope = (row / (row @ (*tip, 1.0)) / (tissue[y, x] - hover)).astype(np.float32)
        plane = slope[0] * grid_x + slope[1] * grid_y + slope[2]
        plane = plane + self._lift(plane, mask, seen)
        return np.minimum(1 / plane, seen - _STEP)

    def _lift(self, plane, mask, seen) -> np.float32:
        """By how much inverse depth must grow; eases in as things come near to each other."""
        window, coarse = np.ones((5, 5), np.uint8), (slice(2, None, _GRID), slice(2, None, _GRID))
        limit = cv2.dilate(1 / (seen - _CLEARANCE), window)[coarse]
        cover = cv2.dilate(mask.astype(np.uint8), window)[coarse]
        if not cover.any():
            return np.float32(0)
        away = cv2.distanceTransform(1 - cover, cv2.DIST_L2, 3) * _GRID
        weight = np.clip(1 - away / (_FORESIGHT * self.scene.side), 0, 1)
        return np.float32(max(0.0, float((weight * (limit - plane[coarse])).max())))


def _tip(thing: SceneObject, t: int) -> np.ndarray:
    """The end of the last jaw, in frame pixels, in view or not."""
    jaw = [piece for piece in thing.pieces if piece.part == JAWS][-1]
    end = (jaw.sprite.alpha.shape[1] - 1.0, jaw.sprite.joint_xy[1], 1.0)
    seen = jaw.matrices[t] @ end
    return seen[:2] / seen[2]

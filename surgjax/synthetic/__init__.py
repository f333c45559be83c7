"""The generated surgical world: endless endoscopic scenes whose truth is exact.

Path:    [synthetic] -> training, tests, the bundled demo clip
"""

from surgjax.synthetic.clip import Clip, generate_clip, generate_image
from surgjax.synthetic.config import PRESETS, SceneConfig
from surgjax.synthetic.stream import stream_clip

__all__ = ["PRESETS", "Clip", "SceneConfig", "generate_clip", "generate_image", "stream_clip"]

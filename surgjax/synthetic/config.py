"""What the generated surgical world may look like: every range a scene is drawn from.

Path:    [config] -> scene -> compositor -> effects -> clip
Units:   lengths are fractions of the image side unless the name says `_px`; angles are radians;
         colours are RGB in 0..1; `p_*` are probabilities; a pair is (low, high), drawn uniformly,
         or log-uniformly where the comment says so.
Errors:  ValueError if a pair is reversed or a probability lies outside 0..1.
Differs: nothing here is fitted to a data set; ranges are wide on purpose (domain randomisation).
"""

import dataclasses

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class SceneConfig:
    """Randomisation ranges of one scene. The defaults are the training distribution."""

    # How many objects of each family a scene holds (inclusive ranges).
    instruments: tuple[int, int] = (1, 4)
    anatomy: tuple[int, int] = (0, 2)
    accessories: tuple[int, int] = (0, 2)  # gauze, needle, clip
    min_objects: int = 1

    # Tissue.
    regions: tuple[int, int] = (1, 3)  # patches of different tissue in the background
    masses: tuple[int, int] = (0, 3)  # large unlabelled organs that fill the view
    p_lobules: float = 0.35
    p_vessels: float = 0.65
    p_blood: float = 0.2
    p_wild_scene: float = 0.15  # scenes in which surfaces may take any colour at all,
    p_wild_colour: float = 0.5  # each with this probability: shape must carry the decision
    tissue_texture: Range = (0.02, 0.14)
    tissue_gloss: Range = (0.1, 1.8)

    # Instruments.
    shaft_width: Range = (0.045, 0.30)  # log-uniform
    shaft_taper: Range = (1.0, 1.9)  # width at the border over width at the wrist
    wrist_bend: Range = (-0.9, 0.9)
    jaw_opening: Range = (0.0, 1.1)
    reach: Range = (0.12, 0.8)  # how far from its border a wrist stands
    p_no_wrist: float = 0.18
    p_stains: float = 0.5
    p_leave: float = 0.2  # per instrument and clip: goes out of view and comes back
    p_shadow: float = 0.85
    p_same_set: float = 0.5  # per instrument: the materials of the scene's common set

    # Things in front.
    p_tissue_flap: float = 0.35  # unlabelled tissue lying over objects
    p_thread: float = 0.25  # unlabelled suture thread
    p_smoke: float = 0.22

    # Camera and picture.
    camera_shift: Range = (0.0, 0.06)
    camera_rotation: Range = (0.0, 0.06)
    breathing: Range = (0.0, 0.012)
    p_scope_circle: float = 0.15
    p_bars: float = 0.1  # black columns or rows at the border
    vignette: Range = (0.0, 0.95)
    exposure: Range = (0.65, 2.0)  # log-uniform
    gamma: Range = (0.75, 1.35)  # log-uniform
    white_balance: float = 0.1
    saturation: Range = (0.45, 1.25)
    blur_px: Range = (0.3, 1.0)  # at 256 px; scales with the side
    p_motion_blur: float = 0.12
    noise: Range = (0.0, 0.035)
    p_jpeg: float = 0.6
    jpeg_quality: tuple[int, int] = (35, 95)

    # Scripted operations, viewpoints, sites (procedure, operation, camera, sites). Off by default,
    # and then they draw nothing.
    operation: bool = False  # instruments follow a script of phases instead of wandering
    phase_frames: tuple[int, int] = (60, 140)  # how long one phase lasts, where the clip allows
    act_frames: tuple[int, int] = (18, 50)  # how long one instrument works at one place
    p_rest: float = 0.3  # per pause between two acts: goes out of view, stays in the body,
    p_long_rest: float = 0.0  # and stays away for so long (frames) that it could be forgotten
    long_rest_frames: tuple[int, int] = (100, 200)
    view_frames: tuple[int, int] = (0, 0)  # frames between changes of viewpoint; 0 for none
    view_shift: Range = (0.0, 0.3)  # of a change of viewpoint
    view_zoom: Range = (0.85, 1.5)  # log-uniform
    view_rotation: Range = (-0.35, 0.35)
    p_cut: float = 0.0  # per change of viewpoint: a cut instead of a move
    favourite_kinds: tuple[str, ...] = ()  # instruments that a site likes,
    favour: float = 4.0  # so many times as likely as they would be
    white_shift: tuple[float, float, float] = (0.0, 0.0, 0.0)  # log gain of R, G, B at a site
    detail: Range = (1.0, 1.0)  # resolution of lens and sensor as a share of the frame's

    # Looks of the preset "surgery". By default each draws nothing at all from the generator, so
    # that the older presets keep their bytes.
    layout: str = ""  # "" free tissue, "any", or a name in landscape.LAYOUTS
    p_blood_pool: float = 0.0
    p_trickle: float = 0.0
    p_scorch: float = 0.0
    p_machined: float = 0.0  # instruments of worked metal, insulated shafts, jointed wrists
    p_auto_exposure: float = 0.0  # the camera's gain follows the light, with a lag
    p_plume: float = 0.0  # cautery smoke that bursts, rises and thins
    p_lens_blood: float = 0.0
    p_lens_fog: float = 0.0
    p_defocus: float = 0.0  # focus lost and found again
    p_shutter_blur: float = 0.0  # blur along the camera's own movement
    p_interlace: float = 0.0
    p_thin_colour: float = 0.0  # chroma kept at a half to a quarter of the resolution
    p_quality_drift: float = 0.0  # compression that gets better and worse within a clip

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            pair = isinstance(value, tuple) and len(value) == 2 and not isinstance(value[0], str)
            if pair and value[0] > value[1]:
                raise ValueError(f"SceneConfig.{field.name}: expected (low, high), found {value}.")
            if not field.name.startswith("p_"):
                continue
            if not (isinstance(value, int | float) and 0.0 <= value <= 1.0):
                raise ValueError(f"SceneConfig.{field.name}: expected 0..1, found {value}.")
        if self.view_frames[1] and not self.operation:
            raise ValueError("SceneConfig.view_frames: views change only with operation=True.")

    def replace(self, **changes) -> "SceneConfig":
        """The same ranges with some fields exchanged."""
        return dataclasses.replace(self, **changes)


_CLEAR = SceneConfig(
    instruments=(1, 3),
    anatomy=(0, 1),
    accessories=(0, 0),
    masses=(0, 1),
    p_lobules=0.2,
    p_blood=0.1,
    p_wild_scene=0.0,
    tissue_gloss=(0.1, 1.2),
    shaft_width=(0.06, 0.3),
    jaw_opening=(0.0, 0.8),
    p_stains=0.2,
    p_tissue_flap=0.1,
    p_thread=0.05,
    p_smoke=0.08,
    p_scope_circle=0.1,
    vignette=(0.0, 0.6),
    exposure=(0.8, 1.5),
    gamma=(0.85, 1.2),
    white_balance=0.05,
    blur_px=(0.3, 0.6),
    p_motion_blur=0.05,
    noise=(0.0, 0.012),
    p_jpeg=0.3,
    jpeg_quality=(60, 95),
)

# Short operations: scripted instruments at work on named organs, the camera moves and cuts.
# What is done and what it looks like: a scripted operation in a landscape, recorded as it would be.
_SURGERY = SceneConfig(
    operation=True,
    min_objects=2,
    view_frames=(24, 60),
    p_cut=0.35,
    layout="cholecystectomy",  # what the script is about
    p_blood_pool=0.3,
    p_trickle=0.25,
    p_scorch=0.15,
    p_machined=1.0,
    p_auto_exposure=0.85,
    p_plume=0.15,
    p_lens_blood=0.05,
    p_lens_fog=0.05,
    p_defocus=0.12,
    p_shutter_blur=0.6,
    p_interlace=0.04,
    p_thin_colour=0.25,
    p_quality_drift=0.3,
    p_wild_scene=0.0,
    accessories=(0, 2),
    shaft_width=(0.05, 0.16),
    shaft_taper=(1.2, 2.2),
    jaw_opening=(0.0, 0.8),
    p_tissue_flap=0.15,
    p_thread=0.12,
    p_smoke=0.0,
    camera_shift=(0.0, 0.03),
    camera_rotation=(0.0, 0.03),
    vignette=(0.0, 0.6),
    exposure=(0.95, 1.9),
    gamma=(0.78, 1.08),
    white_balance=0.02,
    saturation=(0.6, 1.2),
    noise=(0.0, 0.016),
    p_motion_blur=0.04,
    p_bars=0.06,
    p_scope_circle=0.1,
    jpeg_quality=(55, 95),
    blur_px=(0.2, 0.75),
)
# For memory over minutes, at 10 frames a second: tools of one kind side by side that stay away for
# ten seconds and more and come back to another place in another view. A calm picture.
_LONG = _SURGERY.replace(
    phase_frames=(200, 400),
    act_frames=(20, 60),
    view_frames=(40, 110),
    view_zoom=(0.9, 1.3),
    p_leave=0.02,
    p_rest=0.4,
    p_long_rest=0.45,
    favourite_kinds=("grasper",),
    favour=8.0,
    p_same_set=0.25,
    shaft_width=(0.07, 0.2),
    p_plume=0.05,
    p_lens_blood=0.0,
    p_lens_fog=0.0,
    p_defocus=0.0,
    p_interlace=0.0,
    p_thread=0.0,
    p_tissue_flap=0.05,
)
# The same looks without a script: any view of the abdomen, tools that wander.
_ABDOMEN = _SURGERY.replace(
    operation=False,
    view_frames=(0, 0),
    layout="any",
    min_objects=1,
    instruments=(1, 3),
    shaft_width=(0.05, 0.26),
    shaft_taper=(1.0, 1.9),
    jaw_opening=(0.0, 1.1),
    p_tissue_flap=0.2,
    camera_shift=(0.0, 0.06),
    camera_rotation=(0.0, 0.06),
)

# Named distributions. "wide" is meant for long training that must carry far. "clear" is what a
# small model can learn in an hour or two on two cores: natural colours, good light, few
# distractors. "simple" is the part of "clear" with the least overlap: one or two instruments.
# "surgery" is for what needs a story: phases, actions, cuts, instruments that leave and return;
# "long" for what needs minutes of it.
PRESETS: dict[str, SceneConfig] = {
    "wide": SceneConfig(),
    "clear": _CLEAR,
    "simple": _CLEAR.replace(
        instruments=(1, 2),
        p_tissue_flap=0.0,
        p_thread=0.0,
        p_smoke=0.0,
        p_motion_blur=0.0,
    ),
    "surgery": _SURGERY,
    "abdomen": _ABDOMEN,
    "long": _LONG,
}

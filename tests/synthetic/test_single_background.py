"""Single-background synthesis: cut-outs, blending, composition, the set on disk."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from surgjax.synthetic import generate_image
from surgjax.synthetic.single_background import (
    Cutout,
    SingleBackground,
    SingleBackgroundConfig,
    build,
    read_background,
    read_cutouts,
)
from surgjax.synthetic.single_background.augmentations import (
    BackgroundRanges,
    InstrumentRanges,
    anchor_shift,
    augment_background,
    cut_edge,
    draw_pose,
)
from surgjax.synthetic.single_background.augmix import OPERATIONS, augmix
from surgjax.synthetic.single_background.blending import BLENDINGS


def tool(height=120, width=160):
    """A bar that enters from the left, brighter than anything else."""
    mask = np.zeros((height, width), bool)
    mask[50:70, :110] = True
    image = np.full((height, width, 3), 30, np.uint8)
    image[mask] = 220
    return Cutout(image, mask, 3, "bar")


@pytest.fixture(scope="module")
def background():
    return generate_image(5, 192).frames_u8[0]


@pytest.fixture
def folder(tmp_path, background):
    """What a user supplies: a background, two labelled frames."""
    cv2.imwrite(str(tmp_path / "tissue.png"), background[..., ::-1])
    cutouts = tmp_path / "cutouts"
    cutouts.mkdir()
    for name, label in (("a", 3), ("b", 7)):
        bar = tool()
        cv2.imwrite(str(cutouts / f"{name}.jpg"), bar.image)
        cv2.imwrite(str(cutouts / f"{name}_mask.png"), bar.mask.astype(np.uint8) * label)
    return tmp_path


def test_cutouts_are_the_labels_of_the_masks(folder):
    found = read_cutouts(folder / "cutouts")
    assert [(c.name, c.label) for c in found] == [("a:3", 3), ("b:7", 7)]
    assert all(np.array_equal(c.mask, tool().mask) for c in found)
    (named,) = read_cutouts(folder / "cutouts", {7: "clip applier"})
    assert named.name == "b:clip applier"


def test_bad_seed_files_are_named(folder):
    with pytest.raises(ValueError, match="background .*gone.png"):
        read_background(folder / "gone.png")
    with pytest.raises(ValueError, match=r"no \*_mask.png found"):
        read_cutouts(folder)
    with pytest.raises(ValueError, match=r"labels \[9\] on at least"):
        read_cutouts(folder / "cutouts", {9: "x"})
    cv2.imwrite(str(folder / "cutouts" / "b.jpg"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match="b_mask.png: 160x120 pixels, its frame has 9x9"):
        read_cutouts(folder / "cutouts")
    (folder / "cutouts" / "b.jpg").unlink()
    with pytest.raises(ValueError, match="b_mask.png: no frame b"):
        read_cutouts(folder / "cutouts")
    cv2.imwrite(str(folder / "cutouts" / "b_mask.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match="b_mask.png: a single-channel image"):
        read_cutouts(folder / "cutouts")


@pytest.mark.parametrize("name", sorted(BLENDINGS))
def test_blending_keeps_both_sides_away_from_the_edge(name, background):
    side = len(background)
    mask = np.zeros((side, side), bool)
    mask[40:150, 30:160] = True
    image = np.full_like(background, 200)
    out = BLENDINGS[name](background, image, mask)
    assert out.dtype == np.uint8 and out.shape == background.shape
    deep = cv2.erode(mask.astype(np.uint8), np.ones((61, 61))) > 0
    far = cv2.dilate(mask.astype(np.uint8), np.ones((61, 61))) == 0
    tolerance = 25 if name == "laplacian" else 0  # its coarsest band reaches far
    assert np.abs(out[deep].astype(int) - 200).max() <= tolerance
    assert np.abs(out[far].astype(int) - background[far]).max() <= tolerance
    nothing = BLENDINGS[name](background, image, np.zeros_like(mask))
    assert np.abs(nothing.astype(int) - background).max() <= 1


def test_paste_is_hard_and_the_others_are_soft(background):
    mask = np.zeros(background.shape[:2], bool)
    mask[:, 96:] = True
    image, dark = np.full_like(background, 200), np.zeros_like(background)
    values = {name: len(np.unique(BLENDINGS[name](dark, image, mask)[90])) for name in BLENDINGS}
    assert values["paste"] == 2 and min(values[n] for n in values if n != "paste") > 3


def test_background_variants_differ_and_keep_their_size(background):
    rng = np.random.default_rng(0)
    made = [augment_background(rng, background, 96, BackgroundRanges()) for _ in range(6)]
    assert all(m.shape == (96, 96, 3) and m.dtype == np.uint8 for m in made)
    assert len({m.tobytes() for m in made}) == 6


def test_a_cut_edge_stays_at_a_border():
    edge = cut_edge(tool().mask)
    assert set(edge[:, 0]) == {0.0, 1.0} and len(edge) == 40
    rng = np.random.default_rng(1)
    for _ in range(50):
        matrix = draw_pose(rng, 96, InstrumentRanges()).matrix((120, 160), 96)
        moved = anchor_shift(edge, matrix, 96) @ matrix
        x, y = cv2.perspectiveTransform(edge[:, None], moved)[:, 0].T
        outside = [(x <= 1e-6).all(), (x >= 95 - 1e-6).all(), (y <= 1e-6).all(),
                   (y >= 95 - 1e-6).all()]  # fmt: skip
        assert any(outside)
    inside = np.zeros((120, 160), bool)
    inside[50:70, 40:90] = True
    assert not len(cut_edge(inside))  # a thing that lies in the picture as a whole
    np.testing.assert_array_equal(anchor_shift(np.zeros((0, 2)), np.eye(3), 96), np.eye(3))


def test_a_pose_without_change_fits_the_frame_into_the_square():
    still = InstrumentRanges(p_flip=0, scale=(1, 1), shift=0, rotation=0, p_perspective=0)
    matrix = draw_pose(np.random.default_rng(0), 80, still).matrix((120, 160), 80)
    corners = np.array([[[0.0, 0.0]], [[160.0, 120.0]]])
    found = cv2.perspectiveTransform(corners, matrix)[:, 0]
    np.testing.assert_allclose(found, [[0, 10], [80, 70]], atol=1e-9)


def test_truth_follows_the_pixels(background):
    """The bar is brighter than any tissue, so thresholding finds the mask again."""
    dark = (background // 4).astype(np.uint8)
    generator = SingleBackground(dark, [tool()], SingleBackgroundConfig(size=128, p_two=0))
    for i in range(8):
        made = generator.image(i)
        bright = made.frames_u8[0].min(-1) > 125
        mask = made.label_maps[0] > 0
        assert (bright & mask).sum() / (bright | mask).sum() > 0.93
        assert made.categories == (3,) and made.sources == ("bar",)


def test_one_or_two_instruments_as_asked(background):
    config = SingleBackgroundConfig(size=64, variants=3, p_two=0.2)
    generator = SingleBackground(background, [tool(), tool()], config)
    two = np.mean([len(generator.image(i).categories) == 2 for i in range(200)])
    assert 0.1 < two < 0.3
    both = SingleBackground(
        background, [tool(), tool()], SingleBackgroundConfig(size=64, variants=3, p_two=1.0)
    ).image(0)
    assert set(np.unique(both.label_maps)) >= {1, 2}


def test_items_depend_on_seed_and_index_alone(background):
    def make(seed):
        config = SingleBackgroundConfig(size=64, variants=4, blendings=tuple(BLENDINGS))
        return SingleBackground(background, [tool(), tool()], config, seed)

    a, b = make(1), make(1)
    b.image(3)
    for i in (5, 0):
        np.testing.assert_array_equal(a.image(i).frames_u8, b.image(i).frames_u8)
        np.testing.assert_array_equal(a.image(i).label_maps, b.image(i).label_maps)
    assert not np.array_equal(a.image(0).frames_u8, make(2).image(0).frames_u8)
    assert not np.array_equal(a.image(0).frames_u8, a.image(1).frames_u8)


def test_a_pseudo_video_moves_smoothly(background):
    generator = SingleBackground(
        background, [tool()], SingleBackgroundConfig(size=96, p_two=0, swing=0.1)
    )
    clip = generator.clip(0, 24)
    assert clip.frames_u8.shape == (24, 96, 96, 3)
    masks = clip.label_maps == 1
    steps = [(masks[t] & masks[t + 1]).sum() / (masks[t] | masks[t + 1]).sum() for t in range(23)]
    assert min(steps) > 0.6 and not np.array_equal(masks[0], masks[12])


def test_tracks_of_a_pseudo_video_keep_their_instrument(background):
    """Two instruments told apart by colour: track k shows instrument k in every frame."""
    colours = {"red": (230, 20, 20), "green": (20, 230, 20)}
    tools = []
    for category, (name, colour) in enumerate(colours.items(), 1):
        image = tool().image.copy()
        image[:] = colour
        tools.append(Cutout(image, tool().mask, category, name))
    config = SingleBackgroundConfig(size=96, p_two=1.0, swing=0.1, shake=0.05)
    generator = SingleBackground(background // 4, tools, config)
    moved = []
    for index in range(6):
        clip = generator.clip(index, 20)
        assert len(clip.sources) == 2 and sorted(clip.sources) == ["green", "red"]
        for track, (name, category) in enumerate(
            zip(clip.sources, clip.categories, strict=True), 1
        ):
            assert tools[category - 1].name == name
            seen = clip.frames_u8[clip.label_maps == track].astype(int)
            assert len(seen) and np.abs(seen - colours[name]).max() <= 2
        top = clip.label_maps == 2  # the last one laid down is never covered
        centres = [np.argwhere(mask).mean(0) for mask in top if mask.any()]
        moved.append(np.ptp(centres, axis=0).max())
        still = (clip.label_maps == 0).all(0)  # tissue that no tool ever covers
        assert (clip.frames_u8[0][still] != clip.frames_u8[10][still]).any()  # it shakes
    assert min(moved) > 2


def test_bad_options_are_named(background):
    with pytest.raises(ValueError, match="blendings .*'poisson'"):
        SingleBackgroundConfig(blendings=("poisson",))
    with pytest.raises(ValueError, match="found 16, 50, 0.4"):
        SingleBackgroundConfig(size=16)
    with pytest.raises(ValueError, match="at least one cut-out"):
        SingleBackground(background, [])
    speck = np.zeros((100, 100), bool)
    speck[50, 50] = True
    generator = SingleBackground(
        background, [Cutout(np.zeros((100, 100, 3), np.uint8), speck, 1, "speck")]
    )
    with pytest.raises(ValueError, match="item 4: no draw of 30 shows"):
        generator.image(4)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@pytest.mark.parametrize("level", [-1.0, -0.3, 0.0, 0.3, 1.0])
def test_operations_keep_shape_and_type(name, level, background):
    out = np.asarray(OPERATIONS[name](Image.fromarray(background), level))
    assert out.shape == background.shape and out.dtype == np.uint8
    if name not in ("autocontrast", "equalize"):  # these two have no level
        assert np.array_equal(out, background) == (level == 0.0)


def test_levels_by_hand():
    """One column of greys through the operations whose result is plain arithmetic."""
    greys = np.repeat(np.array([[10], [100], [200], [250]], np.uint8)[..., None], 3, -1)
    table = {
        ("solarize", 0.5): [10, 100, 55, 5],  # inverted from 128 on
        ("posterize", 0.5): [8, 100, 200, 248],  # the last 2 of 8 bits are dropped
        ("posterize", -1.0): [0, 96, 192, 240],  # the last 4
        ("brightness", -1.0): [1, 10, 20, 25],  # a tenth is left
        ("contrast", 0.0): [10, 100, 200, 250],
        ("color", 1.0): [10, 100, 200, 250],  # greys have no colour to gain
        ("autocontrast", 0.3): [0, 95, 201, 255],  # (v - 10) * 255 / 240, rounded down
    }
    for (name, level), expected in table.items():
        out = np.asarray(OPERATIONS[name](Image.fromarray(greys), level))
        assert out[:, 0, 0].tolist() == expected, (name, level)


def test_augmix_mixes_and_is_seeded(background):
    a, b = (augmix(np.random.default_rng(s), background) for s in (0, 0))
    np.testing.assert_array_equal(a, b)
    changes = [
        np.abs(augmix(np.random.default_rng(s), background).astype(int) - background).mean()
        for s in range(20)
    ]
    assert 1 < np.mean(changes) < 60
    still = augmix(np.random.default_rng(1), background, severity=0, operations=("contrast",))
    assert np.abs(still.astype(int) - background).max() <= 1
    with pytest.raises(ValueError, match="'twirl'"):
        augmix(np.random.default_rng(0), background, operations=("twirl",))
    with pytest.raises(ValueError, match="uint8 .* expected, found float32"):
        augmix(np.random.default_rng(0), background.astype(np.float32))


def test_the_set_on_disk_is_what_was_drawn(folder, capsys):
    out = folder / "set"
    flags = ["--background", str(folder / "tissue.png"), "--cutouts", str(folder / "cutouts")]
    flags += ["--out", str(out), "--size", "64", "--images", "3", "--clips", "1", "--frames", "5"]
    build.main(flags)
    index = json.loads((out / "index.json").read_text())
    assert list(index) == ["image_00000", "image_00001", "image_00002", "clip_00000"]
    generator = SingleBackground(
        read_background(folder / "tissue.png"),
        read_cutouts(folder / "cutouts"),
        SingleBackgroundConfig(size=64),
    )
    clip = generator.clip(0, 5)
    for t in range(5):
        mask = np.array(Image.open(out / "Annotations" / "clip_00000" / f"{t:05d}.png"))
        np.testing.assert_array_equal(mask, clip.label_maps[t])
        frame = np.array(Image.open(out / "JPEGImages" / "clip_00000" / f"{t:05d}.jpg"))
        assert np.abs(frame.astype(int) - clip.frames_u8[t]).mean() < 6
    assert index["clip_00000"]["categories"] == list(clip.categories)
    assert (out / "sheet.png").exists() and "4/4 items" in capsys.readouterr().out


def test_a_killed_build_goes_on(folder, monkeypatch):
    out = folder / "set"
    flags = ["--background", str(folder / "tissue.png"), "--cutouts", str(folder / "cutouts")]
    flags += ["--out", str(out), "--size", "64", "--images", "4"]
    write = build._write_item

    def killed(folder_, name, item):
        if name == "image_00002":
            (folder_ / "JPEGImages" / f".unfinished-{name}").mkdir()
            raise KeyboardInterrupt
        write(folder_, name, item)

    monkeypatch.setattr(build, "_write_item", killed)
    with pytest.raises(KeyboardInterrupt):
        build.main(flags)
    assert not (out / "index.json").exists()
    kept = (out / "Annotations" / "image_00000" / "00000.png").stat().st_mtime_ns
    monkeypatch.setattr(build, "_write_item", write)
    build.main(flags)
    assert len(list((out / "Annotations").iterdir())) == 4
    assert not list((out / "JPEGImages").glob(".unfinished*"))
    assert (out / "Annotations" / "image_00000" / "00000.png").stat().st_mtime_ns == kept


def test_bad_flags_are_one_message(folder):
    flags = ["--background", str(folder / "gone.png"), "--cutouts", str(folder / "cutouts")]
    with pytest.raises(SystemExit, match="background .*gone.png"):
        build.main([*flags, "--out", str(folder / "set"), "--images", "1"])
    with pytest.raises(SystemExit, match="a number above 0"):
        build.main([*flags, "--out", str(folder / "set")])
    assert not (folder / "set").exists()

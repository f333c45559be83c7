"""A sheet with every corruption at every severity, to judge them with the eye.

    python -m surgjax.robustness.sheet --output sheet.png
    python -m surgjax.robustness.sheet --output sheet.png --image FRAME.png --surgical

Path:    a frame -> corruptions -> [sheet] -> a picture file
Axes:    one row per corruption: the frame itself, then severities 1 to 5.
Units:   `tile` in pixels; a frame is corrupted at that size.
Errors:  a message naming the flag or file for what cannot be read or written.
Source:  ours.
Differs: nothing to compare with.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from surgjax.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from surgjax.robustness.surgical import SURGICAL, corrupt_surgical
from surgjax.synthetic import PRESETS, generate_image

_GAP = 2
_BACKGROUND, _INK = (24, 24, 24), (225, 225, 225)


def sheet(
    image_u8: np.ndarray, tile: int = 160, seed: int = 0, *, surgical: bool = False
) -> Image.Image:
    """One row per corruption, names at the left, severities on top."""
    frame = np.asarray(Image.fromarray(image_u8).resize((tile, tile), Image.Resampling.LANCZOS))
    names, damage = (SURGICAL, corrupt_surgical) if surgical else (tuple(CORRUPTIONS), corrupt)
    size = max(10, tile // 10)
    font = ImageFont.load_default(size)
    left = max(int(font.getlength(name)) for name in names) + 8
    head = size + 8
    step = tile + _GAP
    page = Image.new(
        "RGB", (left + step * (1 + len(SEVERITIES)), head + step * len(names)), _BACKGROUND
    )
    draw = ImageDraw.Draw(page)
    for column, title in enumerate(("clean", *map(str, SEVERITIES))):
        draw.text((left + column * step + 4, 2), title, font=font, fill=_INK)
    for row, name in enumerate(names):
        y = head + row * step
        draw.text((4, y + tile // 2), name, font=font, fill=_INK, anchor="lm")
        page.paste(Image.fromarray(frame), (left, y))
        for column, severity in enumerate(SEVERITIES, 1):
            damaged = damage(frame, name, severity, seed)
            page.paste(Image.fromarray(damaged), (left + column * step, y))
    return page


def frame_from(path: str | None, seed: int) -> np.ndarray:
    """The picture in a file, [H, W, 3] uint8, or without one a generated frame."""
    if path is None:
        return generate_image(seed + 10_000_300, 256, PRESETS["surgery"]).frames_u8[0]
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", required=True, help="a .png to write")
    parser.add_argument("--image", help="a frame of yours; a generated one without")
    parser.add_argument("--tile", type=int, default=160, help="pixels per tile")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--surgical", action="store_true", help="the surgical ones instead")
    flags = parser.parse_args(argv)
    if flags.tile < 16:
        parser.error(f"--tile={flags.tile}: expected 16 pixels or more.")
    if flags.seed < 0:
        parser.error(f"--seed={flags.seed}: expected 0 or more.")
    output = Path(flags.output)
    if output.suffix.lower() != ".png" or not output.parent.is_dir():
        parser.error(f"--output={output}: expected a .png in a folder that exists.")
    try:
        frame = frame_from(flags.image, flags.seed)
    except OSError as error:
        parser.error(f"--image={flags.image}: {error}")
    page = sheet(frame, flags.tile, flags.seed, surgical=flags.surgical)
    unfinished = output.with_name(f".{output.name}.partial")
    page.save(unfinished, "PNG", optimize=True)
    unfinished.replace(output)
    print(f"{output}: {page.width} x {page.height}")


if __name__ == "__main__":
    main()

"""Pictures of items out of a folder, as CLIP wants them: scaled, cut to a square, normalised."""

from __future__ import annotations

import dataclasses
import json
import struct
import warnings
from pathlib import Path

import numpy as np

from jaxrec.data.interactions import IdMap
from jaxrec.data.prepared_cache import file_digest
from jaxrec.data.source import digest
from jaxrec.errors import UserError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
_MOST_PIXELS = 50_000_000
_BICUBIC = 3
_DAMAGES = (OSError, EOFError, SyntaxError, ValueError, IndexError, TypeError, struct.error)
"""What Pillow raises where a file is damaged; it differs from format to format."""


class BadPicture(Exception):
    """A file that is no whole picture of a supported kind; the message says why."""


@dataclasses.dataclass(frozen=True)
class Preparation:
    """shortest: to how many pixels the shorter side is scaled. side: of the square that is cut from the middle."""

    shortest: int
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_preparation(path: Path, side: int) -> Preparation:
    """Out of a preprocessor_config.json. side: what the model takes. Raises: UserError for anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({str(error).splitlines()[0]})") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: found a JSON {type(value).__name__}; an object is needed")
    # Old files hold one number, newer ones an object.
    size, crop = value.get("size", 224), value.get("crop_size", 224)
    shortest = size.get("shortest_edge") if isinstance(size, dict) else size
    cut = crop.get("height") if isinstance(crop, dict) else crop
    if type(shortest) is not int or shortest < side or cut != side:
        raise UserError(
            f"{path}: size {size!r} and crop_size {crop!r}; a crop of {side} and no smaller size are needed"
        )
    if isinstance(crop, dict) and crop.get("width") != cut:
        raise UserError(f"{path}: crop_size {crop!r}; a square is needed")
    for key, wanted in (("resample", _BICUBIC), ("do_resize", True), ("do_center_crop", True), ("do_normalize", True)):
        if value.get(key, wanted) != wanted:
            raise UserError(f"{path}: {key} {value[key]!r}; {wanted!r} is supported")
    levels = []
    for key in ("image_mean", "image_std"):
        found = value.get(key)
        if (
            not isinstance(found, list)
            or len(found) != 3
            or not all(isinstance(x, int | float) and x > 0 for x in found)
        ):
            raise UserError(f"{path}: {key} {found!r}; three numbers above 0 are needed")
        levels.append(tuple(map(float, found)))
    return Preparation(shortest, side, levels[0], levels[1])


def find_pictures(folder: str | Path, items: IdMap) -> dict[int, Path]:
    """By integer id of an item the file that has its raw id as its name.

    Raises: UserError where the folder is none, two files are of one item, or none is of any.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"features.images: {folder} is no folder; one of pictures named after item ids is needed")
    places = {raw: place for place, raw in enumerate(items.raw.tolist())}
    found: dict[int, Path] = {}
    others = 0
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in ENDINGS or not file.is_file():
            continue
        place = places.get(file.stem)
        if place is None:
            others += 1
        elif place in found:
            raise UserError(f"{file}: {found[place].name} is of the same item; one picture an item is needed")
        else:
            found[place] = file
    if not found:
        raise UserError(
            f"{folder}: none of its {others} pictures is named after one of the {len(items)} items "
            f"(first: {items.raw[0]!r}); allowed: ID.jpg, and {', '.join(ENDINGS[1:])}"
        )
    return found


def pictures_sha256(found: dict[int, Path]) -> str:
    """Of which item has which bytes. Raises: UserError where a file cannot be read."""
    try:
        return digest([[place, file_digest(file)] for place, file in sorted(found.items())])
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error


def read_picture(path: Path, preparation: Preparation) -> np.ndarray:
    """One picture, [side, side, 3] float32. Raises: BadPicture; UserError where Pillow is not installed."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise UserError(f"{path}: reading pictures needs `pip install 'jaxrec[llm]'` ({error})") from error

    try:
        with warnings.catch_warnings():
            # Pillow warns of what could be a bomb; the bound below is lower.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > _MOST_PIXELS:
                    raise BadPicture(f"{width} x {height} pixels; at most {_MOST_PIXELS:,} are read")
                image = image.convert("RGB")
        short = min(width, height)
        # The longer side is cut to whole pixels, as CLIP's own preparation does.
        scaled = [
            preparation.shortest if s == short else int(preparation.shortest * s / short) for s in (width, height)
        ]
        if scaled[0] * scaled[1] > _MOST_PIXELS:
            raise BadPicture(f"{width} x {height} pixels; too narrow")
        image = image.resize((scaled[0], scaled[1]), Image.Resampling.BICUBIC)
    except (UnidentifiedImageError, Image.DecompressionBombError, *_DAMAGES) as error:
        raise BadPicture(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    side = preparation.side
    left, top = (scaled[0] - side) // 2, (scaled[1] - side) // 2
    pixels = np.asarray(image, np.float32)[top : top + side, left : left + side] / 255.0
    return (pixels - np.array(preparation.mean, np.float32)) / np.array(preparation.std, np.float32)

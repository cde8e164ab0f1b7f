"""Takes an uploaded file and returns a plain picture: decoded, upright, stripped, re-encoded.

Stage 5 (curation), pure: bytes in, a value out. Trusts nothing about the bytes. What leaves here
was written by our own encoder from pixels, so that no location, no camera owner, no hidden page,
no archive behind the picture and no script inside it goes any further.
"""

import hashlib
import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageCms, ImageOps, ImageStat, UnidentifiedImageError

from registry.core.refusals import Refusal
from training.core import filekinds

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
_BITS = 8
_MOVING = ("PNG", "WEBP")  # a TIFF's further pages are previews and scans, a JPEG's are previews
_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "CMYK", "YCbCr", "LAB")
_EXIF_ORIENTATION = 0x0112
_EXIF_GPS = 0x8825
# What Pillow's decoders raise on files that are broken or made to break them.
_UNREADABLE = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Limits:
    """What is accepted. Sizes in bytes and pixels."""

    max_bytes: int = 60 * 1024 * 1024
    max_pixels: int = 60_000_000
    max_side: int = 16_000
    min_side: int = 256


@dataclass(frozen=True)
class Picture:
    """A normalised picture.

    `data` is a baseline JPEG (quality 95, 4:4:4) without any metadata. `file_sha256` is the hash
    of `data`, `source_sha256` that of the upload, `pixel_sha256` that of the decoded upright sRGB
    pixels before encoding, so that one photograph in two containers is recognised. All lower-case
    hex. `notes` says what was done: `metadata_removed`, `location_removed`, `turned_upright`,
    `colours_to_srgb`, `profile_unreadable`, `transparency_flattened`, `pages_dropped`,
    `trailing_removed`.
    """

    data: bytes
    width: int
    height: int
    file_sha256: str
    source_sha256: str
    pixel_sha256: str
    notes: tuple[str, ...]


def normalise(data: bytes, limits: Limits | None = None) -> Picture | Refusal:
    """Decode an upload under strict limits and encode it anew.

    Returns Refusal `image_format`, `image_polyglot`, `image_depth`, `image_animated`,
    `image_colours`, `image_too_large`, `image_too_small` or `image_unreadable`; raises nothing for
    any content of `data`.

    (1) the file's size; (2) one file, of an accepted format by content, eight bits a channel;
    (3) the announced size, before any pixel is decoded; (4) decode whole, upright, to sRGB;
    (5) encode from pixels alone.
    """
    limits = limits or Limits()
    if len(data) > limits.max_bytes:  # (1)
        return Refusal("image_too_large", f"{len(data)} bytes, at most {limits.max_bytes}")
    refusal = _kind(data)  # (2)
    if refusal is not None:
        return refusal
    try:
        with warnings.catch_warnings():
            # Damaged metadata is dropped anyway; a decompression bomb must not be a mere warning.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _normalise(data, limits)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return Refusal("image_too_large", f"more than {limits.max_pixels} pixels announced")
    except _UNREADABLE as problem:
        return Refusal("image_unreadable", type(problem).__name__)


def _kind(data: bytes) -> Refusal | None:
    """What a decoder would pass over in silence: another format, another file, cut-off depth."""
    found = filekinds.kind(data)
    if found and found not in filekinds.SUFFIXES:
        return Refusal("image_format", found)
    behind = filekinds.second_file(data)
    if behind:
        return Refusal("image_polyglot", behind)
    bits = filekinds.bits(data)
    return Refusal("image_depth", f"{bits} bits a channel") if bits > _BITS else None


def _normalise(data: bytes, limits: Limits) -> Picture | Refusal:
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        refusal = _size(image, limits)  # (3)
        if refusal is not None:
            return refusal
        if image.mode not in _MODES:
            return Refusal("image_unreadable", f"pixels of kind {image.mode}")
        frames = getattr(image, "n_frames", 1)
        if image.format in _MOVING and frames > 1:
            return Refusal("image_animated", f"{frames} pictures")
        notes = _notes(image) | ({"trailing_removed"} if filekinds.tail(data) else set())
        image.load()  # (4)
        upright = ImageOps.exif_transpose(image)
        rgb, more = _to_srgb(upright)
    if image.mode == "CMYK" and "colours_to_srgb" not in more:
        return Refusal("image_colours", "CMYK without a readable profile")
    encoded = _encode(rgb)  # (5)
    return Picture(
        data=encoded,
        width=rgb.width,
        height=rgb.height,
        file_sha256=hashlib.sha256(encoded).hexdigest(),
        source_sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=pixel_digest(rgb),
        notes=tuple(sorted({*notes, *more})),
    )


def masked(data: bytes, box: tuple[int, int, int, int]) -> Picture | Refusal:
    """Paint a box of a normalised picture over and encode it anew; `terms_invalid` for no box.

    One flat colour, not a blur or a mosaic: what can be estimated back is not hidden.
    """
    with Image.open(BytesIO(data), formats=("JPEG",)) as image:
        rgb = image.convert("RGB")
    left, top, right, bottom = box
    if not (0 <= left < right <= rgb.width and 0 <= top < bottom <= rgb.height):
        return Refusal("terms_invalid", "a box outside the picture")
    colour = ImageStat.Stat(rgb.crop(box)).median
    rgb.paste((int(colour[0]), int(colour[1]), int(colour[2])), box)
    encoded = _encode(rgb)
    return Picture(
        data=encoded,
        width=rgb.width,
        height=rgb.height,
        file_sha256=hashlib.sha256(encoded).hexdigest(),
        source_sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=pixel_digest(rgb),
        notes=("masked",),
    )


def pixel_digest(rgb: Image.Image) -> str:
    """SHA-256 (hex) of width, height (big-endian u32 each) and the RGB bytes, row by row."""
    head = struct.pack(">II", rgb.width, rgb.height)
    return hashlib.sha256(head + rgb.tobytes()).hexdigest()


def _size(image: Image.Image, limits: Limits) -> Refusal | None:
    width, height = image.size
    if width * height > limits.max_pixels or max(width, height) > limits.max_side:
        return Refusal("image_too_large", f"{width} x {height} pixels")
    if min(width, height) < limits.min_side:
        return Refusal("image_too_small", f"{width} x {height}, sides from {limits.min_side}")
    return None


def _notes(image: Image.Image) -> set[str]:
    exif = image.getexif()
    found = {
        "metadata_removed": bool(exif) or bool({"xmp", "comment", "photoshop"} & set(image.info)),
        "location_removed": _EXIF_GPS in exif,
        "turned_upright": exif.get(_EXIF_ORIENTATION, 1) in range(2, 9),
        "pages_dropped": getattr(image, "n_frames", 1) > 1,
    }
    return {note for note, true in found.items() if true}


def _to_srgb(image: Image.Image) -> tuple[Image.Image, set[str]]:
    """Flatten transparency on white, and bring the colours of an embedded profile into sRGB."""
    notes = set()
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        notes.add("transparency_flattened")
        image = _flatten(image)
    if image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    if profile:
        image, note = _apply_profile(image, profile)
        notes.add(note)
    # A fresh image: convert() and copy() carry `info` along, and with it what was to be dropped.
    rgb = image.convert("RGB")
    return Image.frombytes("RGB", rgb.size, rgb.tobytes()), notes


def _flatten(image: Image.Image) -> Image.Image:
    layers = image.convert("RGBA")
    paper = Image.new("RGBA", layers.size, (255, 255, 255, 255))
    return Image.alpha_composite(paper, layers).convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes) -> tuple[Image.Image, str]:
    try:
        embedded = ImageCms.ImageCmsProfile(BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        done = ImageCms.profileToProfile(image, embedded, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image, "profile_unreadable"
    return (done if done is not None else image), "colours_to_srgb"


def _encode(rgb: Image.Image) -> bytes:
    """The same pixels give the same bytes with one version of the encoder; nothing but pixels."""
    out = BytesIO()
    rgb.save(out, "JPEG", quality=95, subsampling=0, optimize=False, progressive=False)
    return out.getvalue()

"""What becomes of an uploaded file: upright pixels in our own container, or a refusal."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from registry.core.refusals import Refusal
from training.core.pictures import Limits, Picture, normalise

GPS = 0x8825
ORIENTATION = 0x0112


def scene(width: int = 320, height: int = 288) -> Image.Image:
    """A smooth picture, red in its upper left corner."""
    down, across = np.mgrid[0:height, 0:width]
    pixels = np.stack([255 - across // 2, down // 2, 60 + 0 * down], axis=2).astype(np.uint8)
    pixels[:40, :40] = (250, 5, 5)
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def accepted(data: bytes, limits: Limits | None = None) -> Picture:
    picture = normalise(data, limits)
    assert isinstance(picture, Picture), picture
    return picture


def opened(picture: Picture) -> Image.Image:
    return Image.open(BytesIO(picture.data))


def is_red(image: Image.Image, x: int, y: int) -> bool:
    red, green, blue = np.asarray(image.convert("RGB"))[y, x]
    return bool(red > 200 and green < 60 and blue < 60)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_accepted_format_comes_out_as_a_plain_jpeg(kind: str) -> None:
    picture = accepted(saved(scene(), kind))
    image = opened(picture)
    assert (image.format, image.size, image.mode) == ("JPEG", (320, 288), "RGB")
    assert (picture.width, picture.height) == (320, 288)


def test_one_photograph_in_two_lossless_containers_has_one_pixel_hash() -> None:
    one, other = accepted(saved(scene(), "PNG")), accepted(saved(scene(), "TIFF"))
    assert one.pixel_sha256 == other.pixel_sha256
    assert one.source_sha256 != other.source_sha256


def test_the_same_upload_gives_the_same_bytes() -> None:
    data = saved(scene())
    assert accepted(data) == accepted(data)


def test_location_and_all_other_metadata_are_gone() -> None:
    exif = Image.Exif()
    exif[0x013B] = "alice example"
    exif.get_ifd(GPS)[1] = "N"
    exif.get_ifd(GPS)[2] = (35.0, 39.0, 31.0)
    picture = accepted(saved(scene(), exif=exif, comment=b"alice example"))
    assert {"location_removed", "metadata_removed"} <= set(picture.notes)
    assert b"alice" not in picture.data
    assert b"Exif" not in picture.data
    assert not opened(picture).getexif()


@pytest.mark.parametrize(("orientation", "corner"), [(3, (310, 280)), (6, (280, 5)), (8, (5, 310))])
def test_a_turned_photograph_comes_out_upright(orientation: int, corner: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture = accepted(saved(scene(), exif=exif))
    assert "turned_upright" in picture.notes
    assert is_red(opened(picture), *corner)


def test_what_is_hidden_behind_a_picture_is_gone() -> None:
    picture = accepted(saved(scene()) + b"PK\x03\x04 an archive behind the picture")
    assert b"archive" not in picture.data


def test_hidden_pages_are_dropped() -> None:
    data = saved(scene(), "TIFF", save_all=True, append_images=[scene().rotate(180)])
    picture = accepted(data)
    assert "pages_dropped" in picture.notes
    assert is_red(opened(picture), 5, 5)


def test_transparency_is_laid_on_white() -> None:
    clear = scene().convert("RGBA")
    clear.putalpha(0)
    picture = accepted(saved(clear, "PNG"))
    assert "transparency_flattened" in picture.notes
    assert opened(picture).getpixel((5, 5)) == (255, 255, 255)


def test_an_embedded_profile_is_applied_and_dropped() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = accepted(saved(scene(), icc_profile=profile))
    assert "colours_to_srgb" in picture.notes
    assert "icc_profile" not in opened(picture).info


def test_a_broken_profile_does_not_stop_a_picture() -> None:
    picture = accepted(saved(scene(), icc_profile=b"no profile at all"))
    assert "profile_unreadable" in picture.notes


def test_grey_and_cmyk_pictures_become_rgb() -> None:
    for mode in ("L", "CMYK"):
        assert opened(accepted(saved(scene().convert(mode)))).mode == "RGB"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_bytes=500), "image_too_large"),
        (Limits(max_pixels=320 * 288 - 1), "image_too_large"),
        (Limits(max_side=319), "image_too_large"),
        (Limits(min_side=289), "image_too_small"),
    ],
)
def test_each_limit_refuses_with_its_code(limits: Limits, code: str) -> None:
    data = saved(scene())
    assert isinstance(normalise(data), Picture)
    refusal = normalise(data, limits)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that announces a huge picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    # Below Pillow's own limit, between its warning and its error, and beyond.
    refusal = normalise(bomb(side, side))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "image_too_large"


@pytest.mark.parametrize(
    "data",
    [b"", b"not a picture", saved(scene(), "GIF"), saved(scene(), "BMP"), saved(scene())[:3000]],
    ids=["empty", "text", "gif", "bmp", "truncated"],
)
def test_what_is_no_accepted_picture_is_refused(data: bytes) -> None:
    refusal = normalise(data)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "image_unreadable"


SAMPLES = [saved(scene(), kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF")]


@given(
    sample=st.sampled_from(SAMPLES),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=12),
    keep=st.integers(0, 10**6),
)
def test_no_damage_to_a_file_makes_it_raise(
    sample: bytes, changes: list[tuple[int, int]], keep: int
) -> None:
    data = bytearray(sample)
    for place, value in changes:
        data[place % len(data)] = value
    kept = bytes(data[: max(keep % (2 * len(data)), 1)])
    assert isinstance(normalise(kept), Picture | Refusal)


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    assert isinstance(normalise(data), Refusal)

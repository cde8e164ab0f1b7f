"""What becomes of an uploaded file: upright pixels in our own container, or a refusal."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from registry.core.refusals import Refusal
from training.core import filekinds
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


def refused(data: bytes) -> str:
    refusal = normalise(data)
    assert isinstance(refusal, Refusal), refusal
    return refusal.code


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_preview_or_film_behind_a_picture_is_dropped(kind: str) -> None:
    film = b"\0\0\0\x18ftypmp42 a short film of the camera" + saved(scene(), "JPEG")
    picture = accepted(saved(scene(), kind) + film)
    assert picture.notes == ("trailing_removed",)
    assert b"film" not in picture.data
    assert accepted(saved(scene(), kind)).notes == ()


def archive() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("payload", "x" * 1000)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_that_is_an_archive_too_is_refused(kind: str) -> None:
    assert refused(saved(scene(), kind) + archive()) == "image_polyglot"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "behind", [b"PK\x03\x04 half an archive", b"\n<script>", b"#!/bin/sh", b"MZ\x90", b"%PDF-1.7"]
)
def test_a_picture_with_another_file_behind_it_is_refused(kind: str, behind: bytes) -> None:
    assert refused(saved(scene(), kind) + behind) == "image_polyglot"


def test_another_file_behind_a_large_picture_is_seen_too() -> None:
    """Noise compresses badly: hundreds of thousands of stuffed bytes before the end."""
    noise = np.random.default_rng(1).integers(0, 255, (3000, 4000, 3), dtype=np.uint8)
    large = saved(Image.fromarray(noise), quality=100, subsampling=0)
    assert large.count(b"\xff\x00") > 100_000
    assert filekinds.tail(large) == b""
    assert filekinds.second_file(large + b"MZ\x90") == "foreign"


def test_a_picture_that_readers_take_for_a_pdf_is_refused() -> None:
    assert refused(saved(scene(), comment=b"%PDF-1.7 and objects")) == "image_polyglot"


def deep_png() -> bytes:
    """320 x 288, 16 bits a channel, as a raw converter writes it."""
    rows = b"".join(b"\0" + struct.pack(">960H", *([0x8123] * 960)) for _ in range(288))
    return png(struct.pack(">IIBBBBB", 320, 288, 16, 2, 0, 0, 0), rows)


def deep_tiff() -> bytes:
    """320 x 288, three channels of 16 bits, one uncompressed strip."""
    pixels = np.full((288, 320, 3), 0x8123, "<u2").tobytes()
    tags = [
        (256, 3, 1, 320),
        (257, 3, 1, 288),
        (258, 3, 3, 8 + 2 + 12 * 9 + 4),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 200),
        (277, 3, 1, 3),
        (278, 3, 1, 288),
        (279, 4, 1, len(pixels)),
    ]
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags))
    head += b"".join(struct.pack("<HHII", *tag) for tag in tags) + b"\0" * 4
    return (head + struct.pack("<3H", 16, 16, 16)).ljust(200, b"\0") + pixels


def twelve_bit_jpeg() -> bytes:
    data = saved(scene())
    frame = data.index(b"\xff\xc0")
    return data[: frame + 4] + b"\x0c" + data[frame + 5 :]


@pytest.mark.parametrize("make", [deep_png, deep_tiff, twelve_bit_jpeg])
def test_depth_that_would_be_cut_off_is_refused(make: Callable[[], bytes]) -> None:
    assert refused(make()) == "image_depth"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_moving_picture_is_refused(kind: str) -> None:
    moving = saved(scene(), kind, save_all=True, append_images=[scene().rotate(180)])
    assert refused(moving) == "image_animated"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x24ftypheic" + b"\0" * 600, "heic"),
        (b"\0\0\0\x24ftypmif1" + b"\0" * 600, "heic"),
        (b"\0\0\0\x24ftypavif" + b"\0" * 600, "avif"),
        (b"\0\0\0\x24ftypqt  " + b"\0" * 600, "video"),
        (b"II*\0\x10\0\0\0CR\x02\0" + b"\0" * 600, "raw"),
        (b"8BPS\0\x01" + b"\0" * 600, "photoshop"),
        (archive(), "archive"),
    ],
)
def test_other_formats_are_refused_by_name(data: bytes, kind: str) -> None:
    assert normalise(data) == Refusal("image_format", kind)


def test_every_kind_has_endings_that_suit_it() -> None:
    for name, suffix in (("JPEG", ".JPG"), ("PNG", ".png"), ("WEBP", ".webp"), ("TIFF", ".tif")):
        data = saved(scene(), name)
        assert filekinds.suits(suffix, data)
        assert not filekinds.suits(".gif", data)
        assert not filekinds.suits("", data)
    assert not filekinds.suits(".jpg", saved(scene(), "PNG"))


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


def test_grey_pictures_become_rgb() -> None:
    assert opened(accepted(saved(scene().convert("L")))).mode == "RGB"


def test_print_colours_without_a_profile_are_refused() -> None:
    assert refused(saved(scene().convert("CMYK"))) == "image_colours"
    assert refused(saved(scene().convert("CMYK"), icc_profile=b"none")) == "image_colours"


def print_profile() -> bytes:
    """The least CMYK profile (ICC.1:2004 6.5.8, lut8Type): paper white to black, and no more."""
    ramp = bytes(range(256))
    inks = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    lab = b"".join(
        bytes([max(255 - 85 * (c + m + y) - 255 * k, 0), 128, 128]) for c, m, y, k in inks
    )
    unit = struct.pack(">9i", *(65536 if n % 4 == 0 else 0 for n in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + unit + ramp * 4 + lab + ramp * 3
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(table))
    head = struct.pack(
        ">I4sI4s4s4s", 144 + len(table), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab "
    )
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + b"\0" * 28
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + tags + table


def test_print_colours_with_their_profile_become_rgb() -> None:
    picture = accepted(saved(scene().convert("CMYK"), icc_profile=print_profile()))
    assert "colours_to_srgb" in picture.notes
    assert opened(picture).mode == "RGB"


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


def png(header: bytes, rows: bytes) -> bytes:
    """A PNG of these parts."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that announces a huge picture."""
    return png(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"")


@pytest.mark.parametrize("side", [10_000, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    # Below Pillow's own limit, between its warning and its error, and beyond.
    refusal = normalise(bomb(side, side))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "image_too_large"


@pytest.mark.parametrize(
    "data",
    [b"", b"not a picture", saved(scene())[:3000], saved(scene(), "PNG")[:500]],
    ids=["empty", "text", "truncated", "truncated png"],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    assert refused(data) == "image_unreadable"


@pytest.mark.parametrize("kind", ["GIF", "BMP"])
def test_a_picture_of_another_format_is_refused(kind: str) -> None:
    assert refused(saved(scene(), kind)) == "image_format"


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

"""What a file says about AI training and about its maker, read from hostile bytes.

The files in `tests/vectors/reservations` were signed with the C2PA SDK (c2pa-python 0.38.1).
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from registry.core.rights import RESERVATIONS
from training.core import containers, reservations
from training.core.reservations import combine, read, same_maker

VECTORS = Path(__file__).parents[1] / "vectors/reservations"
HEAD = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" xmlns:tdm="http://www.w3.org/ns/tdmrep/" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Description {}>{}</rdf:Description>'
    "</rdf:RDF></x:xmpmeta>"
)
VOCABULARY = "http://ns.useplus.org/ldf/vocab/"


def xmp(attributes: str = "", inside: str = "") -> bytes:
    return HEAD.format(attributes, inside).encode()


def picture(form: str = "JPEG", packet: bytes = b"", **more: object) -> bytes:
    """A small picture with an XMP packet, and whatever Pillow writes beside it."""
    out = BytesIO()
    if form == "PNG":
        info = PngInfo()
        if packet:
            info.add_itxt("XML:com.adobe.xmp", packet.decode(), zip=True)
        Image.new("RGB", (8, 8)).save(out, form, pnginfo=info, **more)
    else:
        extra = {"xmp": packet} if packet else {}
        Image.new("RGB", (8, 8)).save(out, form, **extra, **more)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("cawg_not_allowed.jpg", "notAllowed"),
        ("cawg_constrained.png", "constrained"),
        ("cawg_allowed.webp", "allowed"),
        ("c2pa_not_allowed.tif", "notAllowed"),
    ],
)
def test_the_assertion_of_a_signed_manifest_is_read(name, state):
    found = read((VECTORS / name).read_bytes())
    assert found.state == state
    assert not found.stripped


def test_one_changed_byte_elsewhere_still_says_no():
    data = bytearray((VECTORS / "cawg_not_allowed.jpg").read_bytes())
    data[-3] ^= 1  # the signature no longer holds, and the no still stands
    assert read(bytes(data)).state == "notAllowed"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("DMI-UNSPECIFIED", "unknown"),
        ("DMI-ALLOWED", "allowed"),
        ("DMI-PROHIBITED", "notAllowed"),
        ("DMI-PROHIBITED-AIMLTRAINING", "notAllowed"),
        ("DMI-PROHIBITED-GENAIMLTRAINING", "notAllowed"),
        ("DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING", "notAllowed"),
        ("DMI-PROHIBITED-SEECONSTRAINT", "constrained"),
        ("DMI-PROHIBITED-SEELINKEDRIGHTSEXPR", "constrained"),
        ("DMI-SOMETHING-NEW", "unreadable"),
    ],
)
def test_the_plus_vocabulary_in_every_container(form, word, state):
    as_attribute = xmp(f'plus:DataMining="{VOCABULARY}{word}"')
    as_resource = xmp(inside=f'<plus:DataMining rdf:resource="{VOCABULARY}{word}"/>')
    as_text = xmp(inside=f"<plus:DataMining>{VOCABULARY}{word}</plus:DataMining>")
    for packet in (as_attribute, as_resource, as_text):
        assert read(picture(form, packet)).state == state


@pytest.mark.parametrize(
    ("value", "state"), [("1", "notAllowed"), ("0", "allowed"), ("yes", "unreadable")]
)
def test_the_tdm_reservation(value, state):
    assert read(picture(packet=xmp(f'tdm:reservation="{value}"'))).state == state
    other = xmp(f'tdm:reservation="{value}"').replace(b"tdmrep/", b"tdmrep#")
    assert read(picture(packet=other)).state == state


def test_the_most_restrictive_statement_wins():
    packet = xmp(f'plus:DataMining="{VOCABULARY}DMI-ALLOWED" tdm:reservation="1"')
    assert read(picture(packet=packet)).state == "notAllowed"


@given(st.lists(st.sampled_from(RESERVATIONS)))
def test_combining_never_depends_on_the_order_and_never_loosens(states):
    found = combine(states)
    assert found == combine(reversed(states))
    assert all(RESERVATIONS.index(found) >= RESERVATIONS.index(state) for state in states)
    assert found == "unknown" or found in states


def test_a_constraint_without_its_content_is_a_no():
    entry = {"cawg.ai_training": {"use": "constrained"}}
    assert read(jpeg_with(entry)).state == "notAllowed"
    entry["cawg.ai_training"]["constraint_info"] = "https://example.jp/licence"
    assert read(jpeg_with(entry)).state == "constrained"


def test_inference_is_another_thing():
    assert read(jpeg_with({"cawg.ai_inference": {"use": "notAllowed"}})).state == "unknown"


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def manifest(entries: object, label: bytes = b"cawg.training-mining") -> bytes:
    description = box(b"jumd", bytes(16) + b"\x03" + label + b"\0")
    return box(b"jumb", description + box(b"cbor", cbor2.dumps({"entries": entries})))


def jpeg_with(entries: object) -> bytes:
    body = b"JP" + struct.pack(">HI", 1, 1) + manifest(entries)
    segment = b"\xff\xeb" + struct.pack(">H", len(body) + 2) + body
    return picture()[:2] + segment + picture()[2:]


@pytest.mark.parametrize(
    "packet",
    [
        b"<x:xmpmeta",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + xmp(inside="<dc:title>&a;</dc:title>"),
        b"<a>" * 70 + b"</a>" * 70,
        b"<a>" + b"<b/>" * 20_001 + b"</a>",
    ],
    ids=["torn", "entities", "deep", "wide"],
)
def test_a_packet_that_cannot_be_read_may_hold_a_no(packet):
    assert read(picture("PNG", packet)).state == "unreadable"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xe1\xff\xff",
        picture()[:100],
        picture("PNG")[:40],
        b"RIFF\0\0\0\0WEBPXMP \xff\xff\xff\xff",
        b"II*\0\xff\xff\xff\xff",
        b"GIF89a",
    ],
)
def test_a_container_that_cannot_be_followed_is_unreadable(data):
    assert read(data).state == "unreadable"


def test_a_text_that_grows_without_end_is_unreadable():
    bomb = zlib.compress(bytes(containers.MAX_PACKET + 1), 9)
    body = b"XML:com.adobe.xmp\0\x01\0\0\0" + bomb
    chunk = struct.pack(">I", len(body)) + b"iTXt" + body
    chunk += struct.pack(">I", zlib.crc32(b"iTXt" + body))
    plain = picture("PNG")
    assert read(plain[:33] + chunk + plain[33:]).state == "unreadable"


@pytest.mark.parametrize("entries", [[], {"cawg.ai_training": "no"}, {"cawg.ai_training": {}}])
def test_an_assertion_of_another_form_is_unreadable(entries):
    assert read(jpeg_with(entries)).state == "unreadable"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_bytes_make_it_fail(data):
    seed = data.draw(
        st.sampled_from([jpeg_with({}), picture("PNG", xmp()), picture("WEBP", xmp())])
    )
    torn = bytearray(seed)
    for _ in range(data.draw(st.integers(0, 12))):
        torn[data.draw(st.integers(0, len(torn) - 1))] = data.draw(st.integers(0, 255))
    found = read(bytes(torn[: data.draw(st.integers(0, len(torn)))]))
    assert found.state in RESERVATIONS


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_no_packet_makes_a_parser_fail(packet):
    for head in (b"\xff\xd8\xff\xe1", b"\xff\xd8\xff\xeb", b"\xff\xd8\xff\xed"):
        for name in (b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"JP", b"Photoshop 3.0\0"):
            body = name + packet
            assert read(head + struct.pack(">H", len(body) + 2) + body).state in RESERVATIONS


# --- the maker ------------------------------------------------------------------------------------


def exif(artist: str) -> bytes:
    found = Image.Exif()
    found[containers.TAG_ARTIST] = artist
    return found.tobytes()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_the_creator_of_exif_and_of_xmp(form):
    packet = xmp(inside="<dc:creator><rdf:Seq><rdf:li>茶谷 理</rdf:li></rdf:Seq></dc:creator>")
    found = read(picture(form, packet, exif=exif("Charlie")))
    assert set(found.creators) == {"茶谷 理", "Charlie"}


def test_the_creator_of_a_tiff_and_of_iptc():
    out = BytesIO()
    Image.new("RGB", (8, 8)).save(out, "TIFF", tiffinfo={containers.TAG_ARTIST: "Charlie"})
    assert read(out.getvalue()).creators == ("Charlie",)
    by_line = "茶谷".encode("cp932")
    data = b"\x1c\x02\x50" + struct.pack(">H", len(by_line)) + by_line
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(data)) + data + bytes(len(data) & 1)
    body = b"Photoshop 3.0\0" + block
    plain = picture()
    segment = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    assert read(plain[:2] + segment + plain[2:]).creators == ("茶谷",)


@pytest.mark.parametrize(
    ("found", "names", "same"),
    [
        ({"creators": ["Photo: CHARLIE  Chatani"]}, ["Charlie Chatani"], True),
        ({"creators": ["C H A R L I E"]}, ["charlie"], True),  # full width
        ({"creators": ["Mallory"]}, ["Charlie", ""], False),
        ({"creators": ["Mallory"], "owners": ["(c) Charlie"]}, ["Charlie"], False),
        ({"creators": [], "owners": ["(c) 2026 Charlie"]}, ["Charlie"], True),
        ({"creators": [], "owners": []}, ["Charlie"], None),
        ({}, ["Charlie"], None),
        ({"creators": ["!!"]}, ["Charlie"], None),
    ],
)
def test_whether_the_maker_is_the_holder(found, names, same):
    assert same_maker(found, names) is same


def test_a_file_without_any_metadata_is_said_to_be_stripped():
    assert read(picture("PNG")).stripped
    assert not read(picture("PNG", xmp())).stripped
    # The digest of IPTC data is there and the data is not: somebody took it out.
    block = b"8BIM\x04\x25\0\0" + struct.pack(">I", 16) + bytes(16)
    body = b"Photoshop 3.0\0" + block
    plain = picture(exif=exif("Charlie"))
    segment = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    assert read(plain[:2] + segment + plain[2:]).stripped


def test_names_are_kept_short_and_printable():
    found = read(picture(exif=exif("A\x01" + "b" * 999)))
    assert found.creators[0].startswith("Ab")
    assert len(found.creators[0]) == reservations.MAX_NAME

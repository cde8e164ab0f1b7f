"""The manifest and its root: what is signed for is exactly these pictures."""

import dataclasses
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.log.core import canonical, merkle
from registry.log.core.errors import VerificationError
from training.core.manifest import Item, Manifest, is_digest, verify_items

DATASET = "dst_0123456789abcdef0123"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def item(plain: bytes, **changes) -> Item:
    values = {
        "object": sha(b"sealed" + plain),
        "file_sha256": sha(plain),
        "pixel_sha256": sha(b"pixels" + plain),
        "width": 64,
        "height": 48,
        "bytes": len(plain),
    }
    return Item(**{**values, **changes})


PLAINS = [b"alice one", b"alice two", b"alice three"]


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(DATASET, tuple(map(item, PLAINS)))


@pytest.fixture
def opened() -> dict[str, bytes]:
    return {sha(b"sealed" + plain): plain for plain in PLAINS}


def test_the_root_is_recomputed_from_the_bytes(manifest, opened):
    assert verify_items(manifest, opened) == manifest.root()


def test_the_root_is_that_of_rfc_6962_over_the_canonical_leaves(manifest):
    leaves = [
        merkle.leaf_hash(
            canonical.dumps(
                {
                    "file_sha256": i.file_sha256,
                    "pixel_sha256": i.pixel_sha256,
                    "width": i.width,
                    "height": i.height,
                }
            )
        )
        for i in sorted(manifest.items, key=lambda i: i.file_sha256)
    ]
    assert manifest.root() == merkle.root_hash(leaves).hex()


def test_a_swapped_picture_is_a_mismatch(manifest, opened):
    opened[manifest.items[1].object] = b"mallory"
    with pytest.raises(VerificationError, match="dataset_mismatch"):
        verify_items(manifest, opened)


def test_a_picture_swapped_together_with_its_row_changes_the_root(manifest, opened):
    swapped = item(b"mallory", object=manifest.items[0].object)
    other = Manifest(DATASET, (swapped, *manifest.items[1:]))
    opened[swapped.object] = b"mallory"
    assert verify_items(other, opened) != manifest.root()


def test_a_missing_picture_is_unavailable(manifest, opened):
    del opened[manifest.items[0].object]
    with pytest.raises(VerificationError, match="image_unavailable"):
        verify_items(manifest, opened)


def test_a_picture_beside_the_manifest_is_a_mismatch(manifest, opened):
    opened["ab" * 32] = b"mallory"
    with pytest.raises(VerificationError, match="dataset_mismatch"):
        verify_items(manifest, opened)


def test_a_wrong_length_is_a_mismatch(manifest, opened):
    first = dataclasses.replace(manifest.items[0], bytes=1)
    with pytest.raises(VerificationError, match="dataset_mismatch"):
        verify_items(Manifest(DATASET, (first, *manifest.items[1:])), opened)


@pytest.mark.parametrize("member", ["pixel_sha256", "width", "height"])
def test_every_member_of_a_leaf_is_under_the_root(manifest, member):
    first = manifest.items[0]
    value = "ab" * 32 if member == "pixel_sha256" else 7
    changed = dataclasses.replace(first, **{member: value})
    assert Manifest(DATASET, (changed, *manifest.items[1:])).root() != manifest.root()


def test_where_the_bytes_lie_is_not_under_the_root(manifest):
    moved = dataclasses.replace(manifest.items[0], object="cd" * 32, box=(0, 0, 4, 4))
    assert Manifest(DATASET, (moved, *manifest.items[1:])).root() == manifest.root()


def test_a_picture_twice_or_none_is_no_data_set():
    with pytest.raises(ValueError, match="once"):
        Manifest(DATASET, (item(b"a"), item(b"a")))
    with pytest.raises(ValueError, match="once"):
        Manifest(DATASET, ())


def test_the_payload_comes_back_as_it_went(manifest):
    payload = json.loads(canonical.dumps(manifest.to_payload()))
    assert Manifest.from_payload(payload) == manifest


def broken(change):
    payload = Manifest(DATASET, tuple(map(item, PLAINS))).to_payload()
    change(payload)
    return payload


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.update(format="kyodaku/manifest/v2"),
        lambda p: p.update(dataset_id="../../etc"),
        lambda p: p.update(extra=1),
        lambda p: p.update(items="abc"),
        lambda p: p["items"].reverse(),
        lambda p: p["items"].append(p["items"][0]),
        lambda p: p["items"].clear(),
        lambda p: p["items"][0].update(object="../" + "a" * 61),
        lambda p: p["items"][0].update(object="A" * 64),
        lambda p: p["items"][0].update(file_sha256="a" * 64 + "\n"),
        lambda p: p["items"][0].update(width=True),
        lambda p: p["items"][0].update(width=0),
        lambda p: p["items"][0].update(bytes=2**40),
        lambda p: p["items"][0].update(box=[0, 0, 65, 4]),
        lambda p: p["items"][0].update(box=[4, 0, 4, 4]),
        lambda p: p["items"][0].update(box=[0.5, 0, 4, 4]),
        lambda p: p["items"][0].update(name="alice"),
        lambda p: p["items"][0].pop("pixel_sha256"),
    ],
)
def test_anything_else_than_the_one_form_is_malformed(change):
    with pytest.raises(VerificationError, match="malformed"):
        Manifest.from_payload(broken(change))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_a_stranger_is_malformed_and_nothing_worse(payload):
    with pytest.raises(VerificationError, match="malformed"):
        Manifest.from_payload(payload)


@given(st.sets(st.binary(min_size=1, max_size=8), min_size=1, max_size=9), st.randoms())
def test_the_root_knows_no_order(plains, dice):
    items = [item(plain) for plain in plains]
    shuffled = dice.sample(items, len(items))
    assert Manifest(DATASET, tuple(items)).root() == Manifest(DATASET, tuple(shuffled)).root()


@given(st.sets(st.binary(min_size=1, max_size=8), min_size=2, max_size=9))
def test_another_set_has_another_root(plains):
    items = tuple(item(plain) for plain in sorted(plains))
    assert Manifest(DATASET, items).root() != Manifest(DATASET, items[1:]).root()


@pytest.mark.parametrize(
    "name", ["", "a" * 63, "a" * 65, "g" * 64, "A" * 64, None, 1, "a" * 64 + "\n"]
)
def test_only_a_digest_is_a_digest(name):
    assert not is_digest(name)
    assert is_digest("0a" * 32)

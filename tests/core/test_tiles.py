"""Tile paths, tiles as a node source, entry bundles."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.log.core import merkle, tiles
from registry.log.core.errors import VerificationError

LEAVES = [merkle.leaf_hash(n.to_bytes(4, "big")) for n in range(70_000)]
TREE = merkle.MerkleTree(LEAVES)


class Store:
    """Tiles as rows: what the database keeps, as a dictionary."""

    def __init__(self) -> None:
        self.size = 0
        self.rows: dict[tuple[int, int], bytes] = {}

    def append(self, leaves) -> None:
        for tile in tiles.extend(self.size, leaves, lambda level, n: self.rows[level, n]):
            self.rows[tile.level, tile.n] = tile.data
        self.size += len(leaves)

    def read(self, level, n) -> bytes:
        return self.rows[level, n]


def filled(*sizes) -> Store:
    store = Store()
    for size in sizes:
        store.append(LEAVES[store.size : size])
    return store


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("tile/0/000", (0, 0, 256)),
        ("tile/0/x001/x234/067", (0, 1_234_067, 256)),
        ("tile/1/x001/000.p/17", (1, 1000, 17)),
        ("tile/63/999.p/255", (63, 999, 255)),
        ("tile/entries/x273/000.p/112", (None, 273_000, 112)),
    ],
)
def test_a_path_has_one_spelling(path, place):
    level, n, width = place
    assert tiles.parse_path(path) == place
    spelled = tiles.entries_path(n, width) if level is None else tiles.tile_path(level, n, width)
    assert spelled == path


@pytest.mark.parametrize(
    "path",
    [
        "tile/00/000", "tile/64/000", "tile/-1/000", "tile/0/0", "tile/0/0000", "tile/0/x000/001",
        "tile/0/001/000", "tile/0/x001", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01",
        "tile/0/000.p/", "tile/0/000/", "/tile/0/000", "tile/0/../000", "tile/entry/000",
        "tile/0/０００", "tile/0/000\n", "checkpoint", "",
    ],
)  # fmt: skip
def test_another_spelling_is_refused(path):
    with pytest.raises(VerificationError, match="bad_tile_path"):
        tiles.parse_path(path)


@pytest.mark.parametrize(("level", "n", "width"), [(64, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 0, 257)])
def test_no_path_is_made_for_what_is_no_tile(level, n, width):
    with pytest.raises(ValueError, match="tile"):
        tiles.tile_path(level, n, width)


def test_the_specifications_tree_of_70000_has_its_tiles():
    found = tiles.spans(70_000)
    assert [place for place in found if place[2] != 256] == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert len(found) == 273 + 1 + 1 + 1 + 1
    assert tiles.spans(256) == [(0, 0, 256), (1, 0, 1)]
    assert tiles.spans(0) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=5))
def test_tiles_grown_in_any_steps_are_those_of_the_whole_tree(steps):
    sizes = [sum(steps[: i + 1]) for i in range(len(steps))]
    store = filled(*sizes)
    widths = {place: len(data) // 32 for place, data in store.rows.items()}
    assert widths == {(level, n): width for level, n, width in tiles.spans(sizes[-1])}
    assert merkle.root_from_nodes(sizes[-1], tiles.TileNodes(store.read)) == TREE.root(sizes[-1])


@given(st.integers(0, 80_000), st.integers(0, 80_000))
def test_what_is_new_since_a_size_is_what_that_size_had_not(a, b):
    old, new = min(a, b), max(a, b)
    before = set(tiles.spans(old))
    assert set(tiles.spans_since(old, new)) == set(tiles.spans(new)) - before


STORE = filled(1, 255, 256, 257, 65_536, 70_000)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70_000), st.data())
def test_proofs_from_tiles_are_those_of_the_tree_in_memory(size, data):
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    nodes = tiles.TileNodes(STORE.read)
    assert merkle.inclusion_proof(index, size, nodes) == TREE.inclusion_proof(index, size)
    assert merkle.consistency_proof(old, size, nodes) == TREE.consistency_proof(old, size)


def test_one_inclusion_proof_reads_few_tiles():
    read = []

    def counted(level, n):
        read.append((level, n))
        return STORE.read(level, n)

    merkle.inclusion_proof(12_345, 70_000, tiles.TileNodes(counted))
    assert len(read) == len(set(read)) <= 5


def test_a_changed_tile_changes_the_root_and_a_short_one_is_noticed():
    store = filled(300)
    first = store.rows[0, 1]
    store.rows[0, 1] = bytes([first[0] ^ 1]) + first[1:]
    assert merkle.root_from_nodes(300, tiles.TileNodes(store.read)) != TREE.root(300)
    store.rows[0, 1] = first[:-32]
    with pytest.raises(VerificationError, match="bad_tile"):
        merkle.root_from_nodes(300, tiles.TileNodes(store.read))


@pytest.mark.parametrize("size", [0, 31, 33, 257 * 32])
def test_tile_data_is_1_to_256_whole_hashes(size):
    with pytest.raises(VerificationError, match="bad_tile"):
        tiles.split(bytes(size))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_a_bundle_parses_to_what_wrote_it(entries):
    data = tiles.bundle(entries)
    assert tiles.parse_bundle(data) == entries
    with pytest.raises(VerificationError, match="bad_bundle"):
        tiles.parse_bundle(data + b"\0")


def test_a_bundle_is_length_prefixed_big_endian():
    assert tiles.bundle([b"ab", b""]) == b"\0\x02ab\0\0"


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\x02a", b"\0\0" * 257])
def test_a_broken_bundle_is_refused(data):
    with pytest.raises(VerificationError, match="bad_bundle"):
        tiles.parse_bundle(data)


def test_an_entry_has_at_most_65535_bytes():
    assert len(tiles.bundle([bytes(65_535)])) == 65_537
    with pytest.raises(ValueError, match="65535"):
        tiles.bundle([bytes(65_536)])

"""Key loading, thumbprints and the two signers."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from registry.log.core import canonical, keys
from registry.log.core.errors import VerificationError
from tests.conformance import vectors

P = 2**255 - 19
D = (-121665 * pow(121666, P - 2, P)) % P
ALICE = keys.Ed25519Signer.from_seed(bytes(range(32)))


def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """The affine addition law of edwards25519 (RFC 8032, 5.1.4), slow and plain."""
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + t, P - 2, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - t, P - 2, P) % P
    return x, y


def recover(y: int) -> tuple[int, int]:
    """A point with this y coordinate."""
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert x * x % P == square
    return x, y


def small_order_points() -> set[tuple[int, int]]:
    """All points whose order divides 8: the multiples of one of order 8."""
    generator = recover(keys._Y_OF_ORDER_8)
    points, point = set(), generator
    while point not in points:
        points.add(point)
        point = add(point, generator)
    return points


def encode(point: tuple[int, int]) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def refusal(raw: bytes) -> str:
    with pytest.raises(VerificationError, match="bad_key") as caught:
        keys.load_ed25519_public(raw)
    return caught.value.detail


def test_an_honest_key_loads():
    assert keys.load_ed25519_public(ALICE.public_raw).public_bytes_raw() == ALICE.public_raw


def test_each_of_the_eight_small_order_points_is_refused():
    points = small_order_points()
    assert len(points) == 8
    for point in points:
        assert "small-order" in refusal(encode(point))


def test_the_check_is_needed_because_the_library_accepts_the_identity_point():
    identity = (1).to_bytes(32, "little")
    constant = identity + bytes(32)
    Ed25519PublicKey.from_public_bytes(identity).verify(constant, b"any message at all")
    with pytest.raises(VerificationError, match="bad_key"):
        keys.verify_ed25519(identity, constant, b"any message at all")


@pytest.mark.parametrize("y", [P, P + 1, P + 3, 2**255 - 1])
@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_a_non_canonical_encoding_is_refused(y, sign):
    assert "non-canonical" in refusal((y | sign).to_bytes(32, "little"))


@pytest.mark.parametrize("y", [1, P - 1])
def test_the_negative_zero_spelling_of_a_small_order_point_is_refused(y):
    assert "small-order" in refusal((y | 1 << 255).to_bytes(32, "little"))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_refused(size):
    assert "32 bytes" in refusal(bytes(size))


def test_the_thumbprint_is_that_of_rfc_8037():
    raw = canonical.unb64u("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    assert keys.thumbprint(raw) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_signer_makes_the_signature_of_rfc_8032_test_1():
    seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    signer = keys.Ed25519Signer.from_seed(bytes.fromhex(seed))
    assert signer.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


def test_a_signature_over_other_bytes_does_not_verify():
    signature = ALICE.sign(b"yes")
    keys.verify_ed25519(ALICE.public_raw, signature, b"yes")
    with pytest.raises(VerificationError, match="bad_signature"):
        keys.verify_ed25519(ALICE.public_raw, signature, b"no")


def test_an_mldsa44_signature_over_other_bytes_does_not_verify():
    signer = keys.Mldsa44Signer.from_seed(bytes(32))
    signature = signer.sign(b"yes")
    keys.verify_mldsa44(signer.public_raw, signature, b"yes")
    with pytest.raises(VerificationError, match="bad_signature"):
        keys.verify_mldsa44(signer.public_raw, signature, b"no")
    with pytest.raises(VerificationError, match="bad_key"):
        keys.verify_mldsa44(signer.public_raw[:-1], signature, b"yes")


@pytest.mark.parametrize("signer", [keys.Ed25519Signer, keys.Mldsa44Signer])
def test_a_signer_shows_no_seed_and_takes_no_other_length(signer):
    seed = bytes(range(32))
    assert seed.hex()[:8] not in repr(signer.from_seed(seed))
    with pytest.raises(ValueError, match="32 bytes"):
        signer.from_seed(seed[:-1])


@pytest.mark.skipif(bool(vectors.missing("wycheproof")), reason=vectors.missing("wycheproof"))
def test_every_wycheproof_ed25519_case_gets_its_verdict():
    count = 0
    for group, case in vectors.wycheproof("ed25519_test.json"):
        public = bytes.fromhex(group["publicKey"]["pk"])
        try:
            keys.verify_ed25519(public, bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
            verdict = "valid"
        except VerificationError:
            verdict = "invalid"
        assert verdict == case["result"], case["tcId"]
        count += 1
    assert count == 151

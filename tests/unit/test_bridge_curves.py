"""Curves and groups: OpenSSL's numbers, OpenSSL's products, and nothing that is not on the curve."""

import base64
import shutil
import subprocess

import pytest
from asn1crypto import core, keys
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.emrtd import curves, native_curves
from firmware_bridge.emrtd.agreement import CurveAgreement, GroupAgreement
from firmware_bridge.emrtd.domain_parameters import CURVES, GROUPS, Curve
from firmware_bridge.errors import DocumentError

OPENSSL_NAMES = {"P-192": "prime192v1", "P-224": "secp224r1", "P-256": "prime256v1", "P-384": "secp384r1"}
OPENSSL_NAMES |= {"P-521": "secp521r1"}
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
every_curve = pytest.mark.parametrize("curve", CURVES.values(), ids=lambda curve: curve.name)


def openssl(*arguments: str) -> bytes:
    text = subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout
    lines = [line for line in text.splitlines() if not line.startswith(b"---")]
    return base64.b64decode(b"".join(lines))


@needs_openssl
@every_curve
def test_the_curve_is_openssl_s(curve: Curve) -> None:
    name = OPENSSL_NAMES.get(curve.name, curve.name)
    der = openssl("ecparam", "-name", name, "-param_enc", "explicit", "-conv_form", "uncompressed")
    spelled = keys.SpecifiedECDomain.load(der)
    numbers = [int.from_bytes(bytes(spelled["curve"][part]), "big") for part in ("a", "b")]
    assert (spelled["field_id"]["parameters"].native, *numbers) == (curve.p, curve.a, curve.b)
    assert spelled["order"].native == curve.n
    assert curves.decode(curve, bytes(spelled["base"])) == curves.generator(curve)


@needs_openssl
@pytest.mark.parametrize("number", GROUPS)
def test_the_group_is_openssl_s(number: int) -> None:
    der = openssl("genpkey", "-genparam", "-algorithm", "DHX", "-pkeyopt", f"dh_rfc5114:{number + 1}")
    spelled = core.Sequence.load(der)
    group = GROUPS[number]
    assert [spelled[i].native for i in range(3)] == [group.p, group.g, group.q]


@every_curve
def test_openssl_and_python_multiply_alike(curve: Curve) -> None:
    point = curves.multiply(curve, 123456789, curves.generator(curve))
    for scalar in (2, 3, curves.random_scalar(curve.n), curve.n - 2, curve.n - 1):
        native = native_curves.multiple(curve, scalar, *point)
        expected = curves._affine(curve, curves._multiply(curve, scalar, point))
        assert native in {None, expected}
        assert curves.multiply(curve, scalar, point) == expected
        if native is not None:
            assert native_curves.shared_x(curve, scalar, *point) == expected.x
    if curve.name in native_curves.NATIVE and curve.p % 4 == 3:
        assert native_curves.multiple(curve, 77, *point) is not None


@every_curve
def test_points_are_decoded_compressed_and_not_and_refused_off_the_curve(curve: Curve) -> None:
    point = curves.multiply(curve, 4711, curves.generator(curve))
    encoded = curves.encode(curve, point)
    compressed = bytes((2 + (point.y & 1),)) + encoded[1 : curve.size + 1]
    assert curves.decode(curve, encoded) == curves.decode(curve, compressed) == point
    for bad in (encoded[:-1] + bytes((encoded[-1] ^ 1,)), encoded[:-1], b"\x04" + bytes(2 * curve.size), b""):
        with pytest.raises(DocumentError):
            curves.decode(curve, bad)


@every_curve
def test_the_order_times_a_point_is_refused(curve: Curve) -> None:
    with pytest.raises(DocumentError):
        curves.multiply(curve, curve.n, curves.generator(curve))


@given(st.sampled_from(list(CURVES.values())), st.integers(2, 1 << 160), st.integers(2, 1 << 160))
@settings(max_examples=25, deadline=None)
def test_agreement_is_the_same_from_both_sides(curve: Curve, left: int, right: int) -> None:
    agreement = CurveAgreement(curve)
    base = curves.generator(curve)
    mine, theirs = agreement.power(left, base), agreement.power(right, base)
    assert agreement.secret(left, theirs) == agreement.secret(right, mine)


@pytest.mark.parametrize("number", GROUPS)
def test_elements_outside_the_group_are_refused(number: int) -> None:
    group = GROUPS[number]
    agreement = GroupAgreement(group)
    _private, public = agreement.generate()
    assert agreement.decode(agreement.encode(public)) == public
    outside = next(x for x in range(2, 50) if pow(x, group.q, group.p) != 1)
    for bad in (0, 1, group.p - 1, group.p, outside):
        with pytest.raises(DocumentError):
            agreement.decode(bad.to_bytes(group.size + 1, "big"))


@every_curve
def test_our_signatures_verify_and_changed_ones_do_not(curve: Curve) -> None:
    import hashlib

    private = curves.random_scalar(curve.n)
    public = curves.multiply(curve, private, curves.generator(curve))
    r, s = curves.sign_ecdsa(curve, private, b"message", "sha256")
    digest = hashlib.sha256(b"message").digest()
    assert curves.verify_ecdsa(curve, public, (r, s), digest)
    assert not curves.verify_ecdsa(curve, public, (r, s ^ 1), digest)
    assert not curves.verify_ecdsa(curve, public, (0, s), digest)
    assert not curves.verify_ecdsa(curve, public, (r, s), hashlib.sha256(b"other").digest())

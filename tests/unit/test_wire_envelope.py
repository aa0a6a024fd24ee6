"""Signatures and seals: they hold for the right key and context and for nothing else."""

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from agent.wire import bounded, claims, cose, envelope, epochs
from agent.wire.cose import Context
from agent.wire.epochs import Epoch
from agent.wire.errors import Fault, WireError
from agent.wire.keys import KeyRing, PublicKey, SoftwareSigner, thumbprint
from tests.protocol.wire_stack import holder
from tests.unit.test_wire_messages import request

DEVICE = ec.generate_private_key(ec.SECP256R1())
ISSUER = ec.generate_private_key(ec.SECP256R1())
HERE = Context("request", "test-issuer", "lobby-1")
LIMIT = 100_000


def fault_of(call: object, *arguments: object, **named: object) -> Fault:
    assert callable(call)
    with pytest.raises(WireError) as refused:
        call(*arguments, **named)
    return refused.value.fault


def keys() -> dict[bytes, ec.EllipticCurvePrivateKey]:
    return {thumbprint(ISSUER.public_key()): ISSUER}


def sealed_request() -> envelope.Sealed:
    signer = SoftwareSigner(DEVICE)
    return envelope.seal(request(), holder(), signer=signer, chain=(b"leaf",), recipient=ISSUER.public_key())


@pytest.mark.parametrize("key", [DEVICE, ed25519.Ed25519PrivateKey.generate()], ids=["ES256", "EdDSA"])
def test_a_signature_holds_for_its_key_and_context(key: ec.EllipticCurvePrivateKey) -> None:
    signed = cose.sign(b"payload", SoftwareSigner(key), HERE)
    assert cose.verify(signed, key.public_key(), HERE, limit=LIMIT) == b"payload"


@pytest.mark.parametrize(
    "elsewhere",
    [
        Context("decision", "test-issuer", "lobby-1"),
        Context("request", "other-issuer", "lobby-1"),
        Context("request", "test-issuer", "lobby-2"),
    ],
)
def test_a_signature_does_not_hold_in_another_context(elsewhere: Context) -> None:
    signed = cose.sign(b"payload", SoftwareSigner(DEVICE), HERE)
    assert fault_of(cose.verify, signed, DEVICE.public_key(), elsewhere, limit=LIMIT) is Fault.SIGNATURE


def test_a_signature_of_another_key_does_not_hold() -> None:
    signed = cose.sign(b"payload", SoftwareSigner(ISSUER), HERE)
    assert fault_of(cose.verify, signed, DEVICE.public_key(), HERE, limit=LIMIT) is Fault.SIGNATURE


def test_no_byte_of_a_signed_message_can_be_changed() -> None:
    signed = cose.sign(b"payload", SoftwareSigner(DEVICE), HERE)
    for position in range(len(signed)):
        changed = bytearray(signed)
        changed[position] ^= 1
        fault_of(cose.verify, bytes(changed), DEVICE.public_key(), HERE, limit=LIMIT)


def test_the_header_does_not_choose_the_algorithm() -> None:
    signed = cose.sign(b"payload", SoftwareSigner(ed25519.Ed25519PrivateKey.generate()), HERE)
    assert fault_of(cose.verify, signed, DEVICE.public_key(), HERE, limit=LIMIT) is Fault.ALGORITHM


def with_headers(protected: bytes, unprotected: dict[int, object]) -> bytes:
    """A COSE_Sign1 of the device whose signature holds, with these headers."""
    structure = bounded.encode(["Signature1", protected, HERE.encode(), b"payload"])
    signature = SoftwareSigner(DEVICE).sign(structure)
    return bounded.encode(cbor2.CBORTag(18, [protected, unprotected, b"payload", signature]))


def test_a_header_is_named_once_and_none_is_critical() -> None:
    """RFC 9052, 3 and 3.1: a label that comes twice is malformed, and `crit` is protected or malformed."""
    plain = with_headers(b"\xa1\x01\x26", {})
    assert cose.verify(plain, DEVICE.public_key(), HERE, limit=LIMIT) == b"payload"
    twice = with_headers(b"\xa2\x01\x27\x01\x26", {})
    both = with_headers(b"\xa1\x01\x26", {1: -7})
    critical = [with_headers(b"\xa2\x01\x26\x02\x81\x18\x63", {}), with_headers(b"\xa1\x01\x26", {2: [99]})]
    for message in (twice, both, *critical):
        assert fault_of(cose.verify, message, DEVICE.public_key(), HERE, limit=LIMIT) is Fault.MALFORMED


def test_the_chain_is_signed_along() -> None:
    signed = cose.sign(b"payload", SoftwareSigner(DEVICE), HERE, chain=(b"leaf", b"authority"))
    assert cose.inspect(signed, limit=LIMIT).chain == (b"leaf", b"authority")
    swapped = signed.replace(b"leaf", b"foul")
    assert fault_of(cose.verify, swapped, DEVICE.public_key(), HERE, limit=LIMIT) is Fault.SIGNATURE


def test_a_kid_is_the_thumbprint_of_rfc_9679() -> None:
    # Section 6 of RFC 9679: the P-256 key of its example and the digest that it prints.
    x = bytes.fromhex("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d")
    y = bytes.fromhex("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c")
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
    assert thumbprint(point).hex() == "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"


def test_a_seal_opens_for_its_key_and_context_only() -> None:
    sealed = cose.encrypt(b"secret", ISSUER.public_key(), HERE)
    assert b"secret" not in sealed
    assert cose.decrypt(sealed, keys(), HERE, limit=LIMIT) == b"secret"
    elsewhere = Context("request", "test-issuer", "lobby-2")
    assert fault_of(cose.decrypt, sealed, keys(), elsewhere, limit=LIMIT) is Fault.DECRYPTION
    stranger = {thumbprint(DEVICE.public_key()): DEVICE}
    assert fault_of(cose.decrypt, sealed, stranger, HERE, limit=LIMIT) is Fault.UNKNOWN_KEY


def test_no_byte_of_a_sealed_message_can_be_changed() -> None:
    sealed = cose.encrypt(b"secret", ISSUER.public_key(), HERE)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        fault_of(cose.decrypt, bytes(changed), keys(), HERE, limit=LIMIT)


def test_sealing_twice_gives_two_different_messages() -> None:
    assert cose.encrypt(b"secret", ISSUER.public_key(), HERE) != cose.encrypt(b"secret", ISSUER.public_key(), HERE)


def test_a_request_is_opened_verified_and_bound_to_its_holder() -> None:
    sealed = sealed_request()
    opened = envelope.unseal(sealed.data, keys(), issuer="test-issuer", terminal="lobby-1")

    def key_of(_chain: tuple[bytes, ...]) -> PublicKey:
        return DEVICE.public_key()

    read = envelope.read_request(opened.signed, key_of, issuer="test-issuer", terminal="lobby-1")
    assert read.model_copy(update={"holder_digest": None}) == request()
    assert envelope.read_holder(opened.holder, read) == holder()
    assert opened.digest == sealed.digest


def test_holder_data_of_another_request_are_refused() -> None:
    other = holder().model_copy(update={"surname": "MUSTERMANN"})
    named = request(holder_digest=claims.holder_digest(holder().encode()))
    assert fault_of(envelope.read_holder, other.encode(), named) is Fault.CONTEXT
    assert fault_of(envelope.read_holder, None, named) is Fault.CONTEXT
    assert fault_of(envelope.read_holder, holder().encode(), request()) is Fault.CONTEXT


def test_a_portrait_that_is_too_large_is_refused_before_it_is_sent() -> None:
    huge = claims.PORTRAIT_LIMIT + 1
    with pytest.raises(ValueError, match="portrait"):
        holder().model_validate({**dict(holder()), "portrait": {"media_type": "image/jp2", "data": bytes(huge)}})


def test_an_epoch_is_taken_from_its_issuer_only() -> None:
    epoch = Epoch(issuer="test-issuer", issued_at=1, epoch_id=bytes(16), sequence=1, interval=5)
    signed = epochs.sign(epoch, SoftwareSigner(ISSUER))
    assert epochs.verify(signed, KeyRing([ISSUER.public_key()]), "test-issuer") == epoch
    assert fault_of(epochs.verify, signed, KeyRing([DEVICE.public_key()]), "test-issuer") is Fault.UNKNOWN_KEY
    assert fault_of(epochs.verify, signed, KeyRing([ISSUER.public_key()]), "other") is Fault.SIGNATURE

"""Copied chips, and chips that must not be taken for copies: chip authentication, mapping, active authentication."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware_bridge.apdu import tlv
from firmware_bridge.document import Access, CheckName, Verdict
from firmware_bridge.emrtd.files import CARD_SECURITY
from firmware_bridge.emrtd.keys import CipherName
from firmware_bridge.emrtd.security_infos import Mapping, oid_bytes
from firmware_bridge.errors import Code
from firmware_bridge.simulator import IssuingState, Personalisation, Profile, personalise, variants
from firmware_bridge.simulator.personalise import pace, public_key_info
from firmware_bridge.simulator.pki import sign
from tests.protocol.bridge_chips import (
    ALL_PASSED,
    PERSON,
    WITH_NONCE,
    failure,
    memory,
    passed,
    picture,
    read,
    state,
    store_of,
)


@pytest.mark.parametrize(
    "profile",
    [Profile(), Profile(pace=()), Profile(pace=(pace(Mapping.CHIP_AUTHENTICATION),))],
    ids=["pace", "bac", "pace-cam"],
)
def test_a_cloned_chip_is_told(profile: Profile) -> None:
    document = read(variants.cloned(memory(profile)))
    assert document.check(CheckName.PASSIVE).passed
    assert failure(document) == {CheckName.CHIP: Code.DOCUMENT_CLONED, CheckName.ACTIVE: Code.DOCUMENT_CLONED}


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_active_authentication_alone_tells_a_clone(kind: str) -> None:
    document = read(variants.cloned(memory(Profile(chip_authentication=None, active_authentication=kind))))
    assert failure(document) == {CheckName.ACTIVE: Code.DOCUMENT_CLONED}


def test_a_copy_that_hides_its_keys_is_told() -> None:
    document = read(variants.hidden(memory()))
    assert failure(document) == {CheckName.CHIP: Code.DOCUMENT_CLONED, CheckName.ACTIVE: Code.DOCUMENT_CLONED}


def with_foreign_mapping(genuine: Personalisation, signed_by: IssuingState) -> Personalisation:
    """A copy that claims PACE with chip authentication mapping, by a key of its own that `signed_by` vouches for."""
    claimed = Profile(pace=(pace(Mapping.CHIP_AUTHENTICATION),))
    return replace(
        personalise(PERSON, picture(), signed_by, claimed), application=genuine.application, static=None, active=None
    )


@pytest.mark.parametrize("active", ["", "rsa"])
@pytest.mark.parametrize("signed_by", [IssuingState.create(), state()], ids=["nobody", "the same state"])
def test_a_copy_cannot_prove_itself_by_a_mapping_that_the_document_was_not_made_with(
    signed_by: IssuingState, active: str
) -> None:
    document = read(with_foreign_mapping(memory(Profile(pace=(), active_authentication=active)), signed_by))
    assert document.check(CheckName.PASSIVE).passed
    assert document.check(CheckName.CHIP).code is Code.DOCUMENT_CLONED
    assert document.access is Access.PACE


@pytest.mark.parametrize("signed_by", [IssuingState.create(), state()], ids=["nobody", "the same state"])
def test_a_chip_without_any_key_of_its_own_gains_nothing_by_a_mapping_with_another_s(signed_by: IssuingState) -> None:
    bare = memory(Profile(pace=(), chip_authentication=None, active_authentication=""))
    document = read(with_foreign_mapping(bare, signed_by))
    assert document.check(CheckName.PASSIVE).passed
    assert document.check(CheckName.CHIP).verdict is Verdict.NOT_TRUSTED
    assert document.access is Access.PACE


def test_a_mapping_key_that_another_state_vouches_for_proves_nothing() -> None:
    made = memory(Profile(pace=(pace(Mapping.CHIP_AUTHENTICATION),), chip_authentication=None))
    elsewhere = IssuingState.create("DE")
    foreign = with_foreign_mapping(made, elsewhere)
    check = read(foreign, store=store_of(state(), elsewhere)).check(CheckName.CHIP)
    assert check.verdict is Verdict.NOT_TRUSTED
    assert check.reason == "EF.CardSecurity is not signed by the state that signed the document"


def test_a_chip_with_several_keys_proves_the_one_that_it_mapped_with() -> None:
    held = memory(Profile(pace=(pace(Mapping.CHIP_AUTHENTICATION),)))
    other = memory(Profile(chip_authentication=(CipherName.AES_256, 15)))
    assert held.mapping_static is not None
    assert other.static is not None
    infos = tlv.encode(0x31, public_key_info(other.static) + public_key_info(held.mapping_static))
    security = sign(state().signer, "0.4.0.127.0.7.3.2.1", infos)
    document = read(replace(held, master={**held.master, CARD_SECURITY.fid: security}), WITH_NONCE)
    assert passed(document) == ALL_PASSED
    assert document.access is Access.PACE_CAM


def test_a_signed_key_that_nobody_here_can_judge_is_no_sign_of_a_copy() -> None:
    unknown = Ed25519PrivateKey.generate().public_key()
    group = tlv.encode(0x6F, unknown.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    bare = Profile(chip_authentication=None, active_authentication="")
    document = read(personalise(PERSON, picture(), state(), bare, extra={15: group}))
    assert document.check(CheckName.PASSIVE).passed
    assert document.check(CheckName.ACTIVE).verdict is Verdict.FAILED
    assert document.check(CheckName.ACTIVE).code is Code.DOCUMENT_MALFORMED


def renumbered(protocol: int | None, key: int | None) -> Personalisation:
    """A chip whose DG14 numbers its protocol and its key for chip authentication like this."""
    bare = Profile(pace=(), active_authentication="")
    static = memory(bare).static
    assert static is not None

    def number(value: int | None) -> bytes:
        return b"" if value is None else tlv.encode(0x02, bytes((value,)))

    named = tlv.encode(0x06, oid_bytes(static.oid)) + tlv.encode(0x02, b"\x01") + number(protocol)
    public = tlv.encode(0x30, tlv.require(public_key_info(static), 0x30) + number(key))
    group = tlv.encode(0x6E, tlv.encode(0x31, tlv.encode(0x30, named) + public))
    held = personalise(PERSON, picture(), state(), replace(bare, chip_authentication=None), extra={14: group})
    return replace(held, static=static)


@pytest.mark.parametrize(("protocol", "key"), [(None, None), (1, 1), (None, 1), (1, None)])
def test_the_only_key_is_the_protocol_s_however_they_are_numbered(protocol: int | None, key: int | None) -> None:
    held = renumbered(protocol, key)
    assert read(held).check(CheckName.CHIP).passed
    assert read(variants.cloned(held)).check(CheckName.CHIP).code is Code.DOCUMENT_CLONED

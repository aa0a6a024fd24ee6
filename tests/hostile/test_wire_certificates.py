"""Certificates, requests and key files with a few bytes changed: each ends in an error of ours, whatever it was."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto import pem
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.trust import file_key, sm2_file
from agent.trust.errors import TrustError
from agent.trust.request import certification_request
from agent.wire import chain, sm2
from agent.wire.errors import WireError
from agent.wire.keys import SoftwareSigner
from issuer import certificates, enrolment
from issuer.certificates import Subject
from issuer.errors import IssuerError

ROUNDS = 200
SIGNERS = {"P-256": SoftwareSigner(ec.generate_private_key(ec.SECP256R1())), "SM2": SoftwareSigner(sm2.new_key())}

pytestmark = [
    pytest.mark.filterwarnings("ignore:Parsed a serial number"),
    pytest.mark.parametrize("kind", SIGNERS),
]


def changed(data: bytes, seed: int) -> bytes:
    """`data` with a few bytes replaced, removed or put in."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable choice, not a secret
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place, how = chance.randrange(len(made)), chance.random()
        if how < 0.7:
            made[place] ^= chance.randrange(1, 256)
        elif how < 0.85:
            del made[place : place + chance.randrange(1, 5)]
        else:
            made[place:place] = chance.randbytes(chance.randrange(1, 4))
    return bytes(made)


def outcomes(data: bytes, take: Callable[[bytes], object], expected: type[Exception]) -> int:
    """How many of the changed forms were refused; any other error than `expected` fails the test."""
    refused = 0
    for seed in range(ROUNDS):
        try:
            take(changed(data, seed))
        except expected:
            refused += 1
    return refused


def test_a_changed_leaf_is_no_chain(kind: str) -> None:
    authority = certificates.new_authority("authority")
    subject = Subject("lobby-1", "01" + "5a" * 16)
    leaf = certificates.issue(authority, subject, SIGNERS[kind].public_key, chain.EVIDENCE)
    der, above = leaf.public_bytes(Encoding.DER), authority.certificate.public_bytes(Encoding.DER)
    at = datetime.now(UTC)
    assert outcomes(der, lambda sent: chain.attester([sent], [authority.certificate], at=at), WireError) == ROUNDS
    # The same as an intermediate, which the sender chooses.
    assert (
        outcomes(above, lambda sent: chain.attester([der, sent], [authority.certificate], at=at), WireError) == ROUNDS
    )


def test_a_changed_request_is_refused(kind: str) -> None:
    der = pem.unarmor(certification_request(SIGNERS[kind], "terminal"))[2]

    def take(sent: bytes) -> object:
        return enrolment._key(pem.armor("CERTIFICATE REQUEST", sent))

    assert outcomes(der, take, IssuerError) > ROUNDS * 0.99


def test_a_changed_key_file_is_another_key_or_none(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    if kind == "SM2":
        key = SIGNERS[kind].private_key
        assert isinstance(key, sm2.Sm2PrivateKey)
        path.write_bytes(sm2_file.encode(key))
        path.chmod(0o600)
    else:
        file_key.create(path)
    der = pem.unarmor(path.read_bytes())[2]

    def take(sent: bytes) -> object:
        path.write_bytes(pem.armor("PRIVATE KEY", sent))
        return file_key.load(path)

    assert outcomes(der, take, TrustError) > ROUNDS / 4

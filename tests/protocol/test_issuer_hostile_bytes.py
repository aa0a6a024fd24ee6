"""Whatever bytes arrive: the issuer answers with a signed refusal, never with an exception and never with a yes."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.trust import identity
from agent.trust.identity import DeviceIdentity
from agent.wire import bounded, claims, cose, envelope, epochs
from agent.wire.claims import Decision
from agent.wire.epochs import Epoch
from agent.wire.message import VERSION_KEY
from issuer import pki, policy, store, verifier
from issuer.epoch_source import EpochSource
from issuer.verifier import Verifier
from tests.protocol.wire_attacker import craft, reseal
from tests.protocol.wire_stack import holder

EXAMPLES = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@dataclass
class Desk:
    """An issuer's verifier over a real database, and a terminal that it knows."""

    verifier: Verifier
    who: DeviceIdentity
    epoch: Epoch
    counter: int = 0

    def answer(self, sealed: bytes, request_id: bytes) -> Decision:
        signed = self.verifier.answer("lobby-1", request_id, sealed)
        return envelope.read_decision(signed, self.who.issuer.pinned_keys, issuer="test-issuer", terminal="lobby-1")

    def token(self) -> tuple[bytes, bytes]:
        self.counter += 1
        request_id = secrets.token_bytes(16)
        digest = claims.holder_digest(holder().encode())
        signed, _ = craft(self.who, self.epoch, self.counter, request_id, holder_digest=digest)
        return signed, request_id


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    layout = pki.create(tmp_path_factory.mktemp("hostile") / "issuer", "test-issuer")
    who = identity.load(pki.enroll(layout, "lobby-1"))
    rules, keys, now = policy.load(layout.policy), verifier.load_keys(layout), time.time()
    with store.opened(store.sqlite_url(layout.database)) as engine:
        signed = EpochSource(engine, rules.name, rules.epoch_interval, keys.signing, now=lambda: now).advance()
        assert signed is not None
        epoch = epochs.verify(signed, who.issuer.pinned_keys, rules.name)
        yield Desk(Verifier(engine, rules, keys, now=lambda: now), who, epoch)


def test_the_desk_accepts_what_is_whole(desk: Desk) -> None:
    signed, request_id = desk.token()
    assert desk.answer(reseal(signed, desk.who, holder().encode()), request_id).accepted


@EXAMPLES
@given(data=st.binary(max_size=400))
def test_noise_is_refused(desk: Desk, data: bytes) -> None:
    assert desk.answer(data, secrets.token_bytes(16)).outcome == "refused"


@EXAMPLES
@given(data=st.binary(max_size=400))
def test_noise_inside_the_seal_is_refused(desk: Desk, data: bytes) -> None:
    context = envelope.request_context("test-issuer", "lobby-1")
    recipient = desk.who.issuer.sealing[0].public_key()
    sealed = cose.encrypt(data, recipient, context)  # type: ignore[arg-type]  # P-256
    assert desk.answer(sealed, secrets.token_bytes(16)).outcome == "refused"


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
@EXAMPLES
@given(position=st.integers(0, 10_000), value=st.integers(1, 255))
def test_a_token_with_one_other_byte_is_refused(desk: Desk, position: int, value: int) -> None:
    signed, request_id = desk.token()
    broken = bytearray(signed)
    broken[position % len(broken)] ^= value
    assert desk.answer(reseal(bytes(broken), desk.who, holder().encode()), request_id).outcome == "refused"


@EXAMPLES
@given(position=st.integers(0, 10_000), value=st.integers(1, 255))
def test_a_holder_with_one_other_byte_is_refused(desk: Desk, position: int, value: int) -> None:
    signed, request_id = desk.token()
    broken = bytearray(holder().encode())
    broken[position % len(broken)] ^= value
    decision = desk.answer(reseal(signed, desk.who, bytes(broken)), request_id)
    assert decision.reasons == ("issuer.refused.context",)


_SCALARS = st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=40)
_VALUES = st.recursive(
    _SCALARS | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(-10, 10) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
)


@EXAMPLES
@given(key=st.sampled_from([3, 6, 7, 10, 256, 265, 270, 271, *range(-75012, -74998)]), value=_VALUES)
def test_a_claim_of_any_type_ends_in_a_decision(desk: Desk, key: int, value: object) -> None:
    desk.counter += 1
    request_id = secrets.token_bytes(16)
    _, request = craft(desk.who, desk.epoch, desk.counter, request_id)
    fields = {VERSION_KEY: [1, 0], **request.to_map(), key: value}
    context = envelope.request_context("test-issuer", "lobby-1")
    signed = cose.sign(bounded.encode(fields), desk.who.signer, context, chain=desk.who.chain)
    decision = desk.answer(reseal(signed, desk.who), request_id)
    assert decision.outcome in {"accepted", "refused"}
    assert (decision.outcome == "accepted") == (decision.reasons == ())


def test_the_authoritys_own_certificate_is_no_terminals(desk: Desk) -> None:
    authority = (desk.who.tls_key.parents[2] / "authority" / "evidence.pem").read_bytes()
    der = x509.load_pem_x509_certificate(authority).public_bytes(Encoding.DER)
    for chain in ((der,), (desk.who.chain[0], desk.who.chain[0]), (der, der)):
        desk.counter += 1
        request_id = secrets.token_bytes(16)
        signed, _ = craft(desk.who, desk.epoch, desk.counter, request_id, chain=chain)
        assert desk.answer(reseal(signed, desk.who), request_id).reasons == ("issuer.refused.chain",)


@EXAMPLES
@given(chain=st.lists(st.binary(max_size=200), max_size=4))
def test_a_chain_of_anything_is_refused(desk: Desk, chain: list[bytes]) -> None:
    desk.counter += 1
    request_id = secrets.token_bytes(16)
    signed, _ = craft(desk.who, desk.epoch, desk.counter, request_id, chain=tuple(chain) or (b"",))
    assert desk.answer(reseal(signed, desk.who), request_id).outcome == "refused"

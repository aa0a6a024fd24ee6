"""An attacker who owns the broker does its worst to the issuer; each attack is refused with its own reason."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.trust import identity
from agent.wire import bounded, claims, cose, envelope
from agent.wire.chain import EVIDENCE
from agent.wire.keys import SoftwareSigner
from agent.wire.message import VERSION_KEY
from agent.wire.refusals import Refusal
from issuer import certificates, pki, store
from tests.protocol.wire_attacker import NAME, Scene, craft, mallory, mallory_credentials, refused, reseal
from tests.protocol.wire_stack import Stack, holder, needs_broker, stack

pytestmark = needs_broker


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    rules = f"user {NAME}\ntopic readwrite #\n"
    with stack(tmp_path_factory.mktemp("attacks") / "issuer", extra_rules=rules) as made:
        mallory_credentials(made)
        yield made


@pytest.fixture
async def scene(deployment: Stack) -> AsyncIterator[Scene]:
    victim = identity.load(deployment.enroll(f"victim-{secrets.token_hex(4)}"))
    async with mallory(deployment) as attacker:
        yield Scene(deployment, attacker, victim)


async def test_what_the_victim_made_is_accepted_however_it_is_carried(scene: Scene) -> None:
    signed, request_id = await scene.token()
    decision = await scene.deliver(reseal(signed, scene.victim), request_id)
    assert decision.accepted
    assert decision.request_digest == claims.request_digest(signed)


async def test_a_replay_is_refused(scene: Scene) -> None:
    signed, request_id = await scene.token()
    sealed = reseal(signed, scene.victim)
    assert (await scene.deliver(sealed, request_id)).accepted
    refused(await scene.deliver(sealed, request_id), Refusal.REPLAY)


async def test_requests_out_of_order_are_refused(scene: Scene) -> None:
    first, second = await scene.token(), await scene.token()
    assert (await scene.deliver(reseal(second[0], scene.victim), second[1])).accepted
    refused(await scene.deliver(reseal(first[0], scene.victim), first[1]), Refusal.COUNTER)


async def test_a_request_that_was_held_back_is_refused(scene: Scene) -> None:
    signed, request_id = await scene.token()
    await asyncio.sleep(2.1)
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.EPOCH)


async def test_an_epoch_that_the_attacker_made_up_is_refused(scene: Scene) -> None:
    signed, request_id = await scene.token(epoch=secrets.token_bytes(16))
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.EPOCH)


async def test_a_broken_signature_is_refused(scene: Scene) -> None:
    signed, request_id = await scene.token()
    broken = signed[:-1] + bytes([signed[-1] ^ 1])
    refused(await scene.deliver(reseal(broken, scene.victim), request_id), Refusal.SIGNATURE)


async def test_changed_evidence_is_refused(scene: Scene) -> None:
    signed, request_id = await scene.token()
    assert signed.count(b"attack") == 0
    changed = signed.replace(b"Hotel Utopia", b"Hotel Erewho")
    refused(await scene.deliver(reseal(changed, scene.victim), request_id), Refusal.SIGNATURE)


async def test_a_seal_that_was_tampered_with_is_refused(scene: Scene) -> None:
    signed, request_id = await scene.token()
    sealed = bytearray(reseal(signed, scene.victim))
    sealed[-1] ^= 1
    refused(await scene.deliver(bytes(sealed), request_id), Refusal.SEAL)


async def test_a_chain_of_another_authority_is_refused(scene: Scene, tmp_path: Path) -> None:
    pki.create(tmp_path / "rogue", "test-issuer")
    rogue = certificates.load_authority(tmp_path / "rogue" / "authority" / "evidence")
    key = certificates.new_key()
    subject = certificates.Subject(scene.victim.terminal, scene.victim.attester.ueid.hex())
    leaf = certificates.issue(rogue, subject, key.public_key(), EVIDENCE)
    signed, request_id = await scene.token(signer=SoftwareSigner(key), chain=(leaf.public_bytes(Encoding.DER),))
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.CHAIN)


async def test_the_terminals_tls_key_attests_nothing(scene: Scene) -> None:
    path = scene.victim.tls_certificate.with_suffix("")
    leaf = certificates.load_certificate(path).public_bytes(Encoding.DER)
    signer = SoftwareSigner(certificates.load_key(path))
    signed, request_id = await scene.token(signer=signer, chain=(leaf,))
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.CHAIN)


async def test_a_key_that_was_never_enrolled_is_refused(scene: Scene) -> None:
    authority = certificates.load_authority(scene.stack.layout.authority("evidence"))
    key = certificates.new_key()
    subject = certificates.Subject(scene.victim.terminal, scene.victim.attester.ueid.hex())
    leaf = certificates.issue(authority, subject, key.public_key(), EVIDENCE)
    signed, request_id = await scene.token(signer=SoftwareSigner(key), chain=(leaf.public_bytes(Encoding.DER),))
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.UNKNOWN_TERMINAL)


async def test_another_terminals_key_cannot_stand_in(scene: Scene) -> None:
    other = identity.load(scene.stack.enroll(f"other-{secrets.token_hex(4)}"))
    signed, request_id = await scene.token(signer=other.signer, chain=other.chain)
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.CONTEXT)


async def test_a_signature_under_anothers_certificate_is_refused(scene: Scene) -> None:
    other = identity.load(scene.stack.enroll(f"other-{secrets.token_hex(4)}"))
    signed, request_id = await scene.token(signer=other.signer)
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.SIGNATURE)


async def test_a_request_on_another_terminals_topic_is_refused(scene: Scene) -> None:
    other = identity.load(scene.stack.enroll(f"other-{secrets.token_hex(4)}"))
    signed, request_id = await scene.token()
    as_it_was = await scene.mallory.ask(other.terminal, reseal(signed, scene.victim), request_id, other)
    refused(as_it_was, Refusal.SEAL)
    sealed_anew = reseal(signed, scene.victim, terminal=other.terminal)
    refused(await scene.mallory.ask(other.terminal, sealed_anew, request_id, other), Refusal.CONTEXT)


async def test_a_token_for_another_issuer_is_refused(scene: Scene) -> None:
    signed, request_id = await scene.token(audience="other-issuer")
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.SIGNATURE)


async def test_a_spliced_holder_is_refused(scene: Scene) -> None:
    mine = holder().encode()
    signed, request_id = await scene.token(holder_digest=claims.holder_digest(mine))
    anothers = holder().model_copy(update={"document_number": "X00000000"}).encode()
    refused(await scene.deliver(reseal(signed, scene.victim, anothers), request_id), Refusal.CONTEXT)


async def test_a_request_under_another_correlation_is_refused(scene: Scene) -> None:
    signed, _ = await scene.token()
    refused(await scene.deliver(reseal(signed, scene.victim), secrets.token_bytes(16)), Refusal.CONTEXT)


async def test_an_algorithm_that_is_not_the_keys_is_refused(scene: Scene) -> None:
    signed, request_id = await scene.token()
    layer = bounded.decode(signed, limit=100_000).value
    header = bounded.decode(layer[0], limit=100_000)
    downgraded = signed.replace(layer[0], bounded.encode({**header, 1: -8}))
    refused(await scene.deliver(reseal(downgraded, scene.victim), request_id), Refusal.ALGORITHM)


async def test_another_major_version_is_refused(scene: Scene) -> None:
    _, request_id = await scene.token()
    _, request = craft(scene.victim, await scene.epoch(), scene.counter, request_id)
    payload = bounded.encode({**request.to_map(), VERSION_KEY: [2, 0]})
    context = envelope.request_context(scene.victim.issuer.name, scene.victim.terminal)
    signed = cose.sign(payload, scene.victim.signer, context, chain=scene.victim.chain)
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.VERSION)


async def test_an_unsealed_request_is_refused(scene: Scene) -> None:
    signed, request_id = await scene.token()
    refused(await scene.deliver(signed, request_id), Refusal.MALFORMED)


async def test_a_request_sealed_to_another_key_is_refused(scene: Scene) -> None:
    signed, request_id = await scene.token()
    context = envelope.request_context(scene.victim.issuer.name, scene.victim.terminal)
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    refused(await scene.deliver(cose.encrypt(claims.pack(signed, None), stranger, context), request_id), Refusal.SEAL)


@pytest.mark.parametrize("size", [0, 1, 1000, claims.SEALED_LIMIT + 1])
async def test_noise_of_any_size_is_refused(scene: Scene, size: int) -> None:
    refused(await scene.deliver(secrets.token_bytes(size), secrets.token_bytes(16)), Refusal.MALFORMED)


async def test_a_revoked_terminal_is_refused_at_once(scene: Scene) -> None:
    with store.opened(store.sqlite_url(scene.stack.layout.database)) as engine:
        assert store.revoke(engine, scene.victim.terminal)
    signed, request_id = await scene.token()
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.REVOKED)


async def test_every_refusal_is_counted_by_its_reason(scene: Scene) -> None:
    with store.opened(store.sqlite_url(scene.stack.layout.database)) as engine:
        before = store.summary(engine)["refusals"].get(Refusal.SEAL, 0)
        signed, request_id = await scene.token()
        sealed = bytearray(reseal(signed, scene.victim))
        sealed[-1] ^= 1
        for _ in range(3):
            await scene.deliver(bytes(sealed), request_id)
        assert store.summary(engine)["refusals"][Refusal.SEAL] == before + 3


async def test_a_clock_that_the_epoch_contradicts_is_refused_by_policy(scene: Scene) -> None:
    signed, request_id = await scene.token(clock=claims.ClockEvidence(trust="contradicted", offset=-315_000_000))
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.CLOCK)

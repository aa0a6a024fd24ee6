"""Evidence signed with SM2 and SM3: from enrolment through a real broker to a decision, and each way to cheat."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.trust import enrolment, file_key, identity
from agent.trust.identity import DeviceIdentity
from agent.trust.request import certification_request
from agent.wire import cose, envelope, epochs, events, topics
from agent.wire.chain import EVIDENCE
from agent.wire.errors import Fault, WireError
from agent.wire.events import Event, EventBatch
from agent.wire.keys import ES256, PublicKey, Signer, SoftwareSigner
from agent.wire.refusals import Refusal
from agent.wire.sm2 import SM2_SM3, new_key
from issuer import certificates, pki, policy, store, verifier
from issuer import enrolment as at_issuer
from issuer.epoch_source import EpochSource
from issuer.errors import IssuerError
from issuer.events import EventDesk, EventStore, terminal_key
from issuer.layout import Layout
from tests.protocol.wire_attacker import NAME, Scene, craft, mallory, mallory_credentials, refused, reseal
from tests.protocol.wire_stack import Stack, evidence, holder, needs_broker, stack, terminal

pytestmark = needs_broker

ALL = ("ES256", "EdDSA", "SM2")


def enrol(layout: Layout, folder: Path, name: str, kind: str = "SM2") -> DeviceIdentity:
    """A terminal that made its own key, enrolled by hand."""
    folder.mkdir()
    signer = file_key.create(folder / "device.key", kind=kind)
    asked = json.loads(enrolment.request_by_hand(folder, signer))
    with store.opened(store.sqlite_url(layout.database)) as engine:
        answer = at_issuer.sign(layout, engine, name, asked["device"].encode(), asked["tls"].encode())
    enrolment.accept(json.dumps(answer).encode(), folder, signer)
    return identity.load(folder)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    rules = f"user {NAME}\ntopic readwrite #\n"
    root = tmp_path_factory.mktemp("sm2") / "issuer"
    with stack(root, extra_rules=rules, suites=json.dumps(ALL)) as made:
        mallory_credentials(made)
        yield made


@pytest.fixture
async def scene(deployment: Stack, tmp_path: Path) -> AsyncIterator[Scene]:
    victim = enrol(deployment.layout, tmp_path / "victim", f"victim-{secrets.token_hex(4)}")
    async with mallory(deployment) as attacker:
        yield Scene(deployment, attacker, victim)


@dataclass
class Pretender:
    """A signer that names another algorithm or key than it has."""

    real: Signer
    algorithm: int
    public_key: PublicKey

    def sign(self, message: bytes) -> bytes:
        return self.real.sign(message)


async def test_a_terminal_with_an_sm2_key_is_believed_and_its_record_holds(deployment: Stack, tmp_path: Path) -> None:
    who = enrol(deployment.layout, tmp_path / "lobby", "lobby-1")
    assert who.signer.algorithm == SM2_SM3
    async with terminal(tmp_path / "lobby", deployment.url) as lobby:
        decision = await lobby.verify(evidence(), holder())
    assert decision.accepted
    record = _record(deployment, decision.request_id.hex(), tmp_path / "record")
    here, elsewhere = (_offline(record, tmp_path / "lobby" / "trust", blocked=blocked) for blocked in (False, True))
    assert here["holds"] is True
    assert elsewhere["holds"] is False
    assert "pip install 'renzheng[gm]'" in json.dumps(elsewhere)


def _record(deployment: Stack, request_id: str, path: Path) -> Path:
    command = [sys.executable, "-m", "issuer.cli", "evidence", str(deployment.root), request_id, "-o", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def _offline(record: Path, trust: Path, *, blocked: bool) -> dict[str, object]:
    """What `renzheng evidence verify` says, with or without the extra."""
    start = "import sys; sys.modules['gmalg'] = None\n" if blocked else ""
    command = [sys.executable, "-c", start + "from agent.cli.main import main; main()", "evidence", "verify"]
    done = subprocess.run(
        [*command, str(record), "--trust", str(trust), "--json"], check=False, capture_output=True, text=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    assert done.returncode == (0 if found["holds"] else 1)
    return found


async def test_a_signature_by_another_sm2_key_is_refused(scene: Scene) -> None:
    stranger = Pretender(SoftwareSigner(new_key()), SM2_SM3, scene.victim.signer.public_key)
    signed, request_id = await scene.token(signer=stranger)
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.SIGNATURE)


async def test_changed_evidence_is_refused(scene: Scene) -> None:
    signed, request_id = await scene.token()
    changed = signed.replace(b"Hotel Utopia", b"Hotel Erewho")
    refused(await scene.deliver(reseal(changed, scene.victim), request_id), Refusal.SIGNATURE)


async def test_a_header_that_names_es256_over_an_sm2_key_is_refused(scene: Scene) -> None:
    named = Pretender(scene.victim.signer, ES256, scene.victim.signer.public_key)
    signed, request_id = await scene.token(signer=named)
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.ALGORITHM)


async def test_a_p256_key_under_an_sm2_certificate_is_refused(scene: Scene) -> None:
    p256 = SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
    signed, request_id = await scene.token(signer=p256)
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.ALGORITHM)


async def test_a_header_that_names_sm2_over_a_p256_key_is_refused(scene: Scene, tmp_path: Path) -> None:
    other = enrol(scene.stack.layout, tmp_path / "other", f"other-{secrets.token_hex(4)}", "ES256")
    scene.victim = other
    signed, request_id = await scene.token(signer=Pretender(other.signer, SM2_SM3, other.signer.public_key))
    refused(await scene.deliver(reseal(signed, other), request_id), Refusal.ALGORITHM)


async def test_another_terminals_sm2_certificate_is_refused(scene: Scene, tmp_path: Path) -> None:
    other = enrol(scene.stack.layout, tmp_path / "other", f"other-{secrets.token_hex(4)}")
    signed, request_id = await scene.token(signer=other.signer, chain=other.chain)
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.CONTEXT)


async def test_an_sm2_key_that_was_never_enrolled_is_refused(scene: Scene) -> None:
    authority = certificates.load_authority(scene.stack.layout.authority("evidence"))
    subject = certificates.Subject(scene.victim.terminal, scene.victim.attester.ueid.hex())
    theirs = SoftwareSigner(new_key())
    leaf = certificates.issue(authority, subject, theirs.public_key, EVIDENCE)
    chain = (leaf.public_bytes(Encoding.DER),)
    signed, request_id = await scene.token(signer=theirs, chain=chain)
    refused(await scene.deliver(reseal(signed, scene.victim), request_id), Refusal.UNKNOWN_TERMINAL)


async def test_a_replay_is_refused(scene: Scene) -> None:
    signed, request_id = await scene.token()
    sealed = reseal(signed, scene.victim)
    assert (await scene.deliver(sealed, request_id)).accepted
    refused(await scene.deliver(sealed, request_id), Refusal.REPLAY)


class Office:
    """An issuer without a broker, which changes its mind about suites."""

    def __init__(self, root: Path) -> None:
        self.layout = pki.create(root, "test-issuer")
        self.allow(*ALL)

    def allow(self, *suites: str) -> None:
        lines = self.layout.policy.read_text("utf-8").splitlines()
        changed = [f"suites = {json.dumps(suites)}" if line.startswith("suites") else line for line in lines]
        self.layout.policy.write_text("\n".join(changed) + "\n", "utf-8")

    def decide(self, who: DeviceIdentity, counter: int) -> tuple[str, ...]:
        """The reasons of the decision on an honest request of `who`."""
        settings, keys = policy.load(self.layout.policy), verifier.load_keys(self.layout)
        with store.opened(store.sqlite_url(self.layout.database)) as engine:
            EpochSource(engine, settings.name, settings.epoch_interval, keys.signing).advance()
            epoch = epochs.verify(store.newest_epochs(engine)[0].signed, who.issuer.pinned_keys, settings.name)
            request_id = secrets.token_bytes(16)
            signed, _ = craft(who, epoch, counter, request_id)
            worker = verifier.Verifier(engine, settings, keys)
            answer = worker.answer(who.terminal, request_id, reseal(signed, who))
        ring = who.issuer.pinned_keys
        return envelope.read_decision(answer, ring, issuer=settings.name, terminal=who.terminal).reasons


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path / "office")


def test_a_policy_without_the_suite_refuses_it_and_one_with_it_alone_refuses_the_others(
    office: Office, tmp_path: Path
) -> None:
    with_sm2 = enrol(office.layout, tmp_path / "sm2", "with-sm2")
    with_p256 = enrol(office.layout, tmp_path / "p256", "with-p256", "ES256")
    assert (office.decide(with_sm2, 1), office.decide(with_p256, 1)) == ((), ())
    office.allow("ES256", "EdDSA")
    assert (office.decide(with_sm2, 2), office.decide(with_p256, 2)) == ((Refusal.SUITE,), ())
    office.allow("SM2")
    assert (office.decide(with_sm2, 3), office.decide(with_p256, 3)) == ((), (Refusal.SUITE,))


def test_a_suite_that_is_not_taken_is_not_enrolled(office: Office, tmp_path: Path) -> None:
    office.allow("ES256")
    with pytest.raises(IssuerError, match=r"takes no SM2 device keys.*policy\.suites"):
        enrol(office.layout, tmp_path / "sm2", "with-sm2")


def test_a_transport_key_is_never_sm2(office: Office, tmp_path: Path) -> None:
    device = certification_request(file_key.create(tmp_path / "device.key", kind="SM2"), "terminal")
    tls = certification_request(file_key.create(tmp_path / "tls.key", kind="SM2"), "terminal")
    with (
        store.opened(store.sqlite_url(office.layout.database)) as engine,
        pytest.raises(IssuerError, match="TLS takes P-256"),
    ):
        at_issuer.sign(office.layout, engine, "with-sm2", device, tls)


def test_events_of_an_sm2_terminal_are_stored_only_where_the_suite_is_taken(office: Office, tmp_path: Path) -> None:
    who = enrol(office.layout, tmp_path / "sm2", "with-sm2")
    event = Event(event_id=secrets.token_bytes(16), kind="audit.head", priority=1, created_at=1, payload=b"head")
    batch = EventBatch(audience="test-issuer", terminal=who.terminal, events=(event,))
    sent = events.sign_batch(batch, who.signer, chain=who.chain)
    keys = verifier.load_keys(office.layout)
    with store.opened(store.sqlite_url(office.layout.database)) as engine:
        stored = EventStore(engine)
        for suites, count in ((("ES256",), 0), (("SM2",), 1)):
            office.allow(*suites)
            taken = policy.load(office.layout.policy).policy

            def known(name: str, leads: tuple[bytes, ...], taken: policy.Policy = taken) -> PublicKey:
                return terminal_key(engine, keys.evidence_authority, taken, name, leads)

            desk = EventDesk(stored, "test-issuer", keys.signing, known)
            if count:
                desk.take(who.terminal, sent)
            else:
                with pytest.raises(WireError) as failed:
                    desk.take(who.terminal, sent)
                assert failed.value.fault is Fault.SUITE
            assert stored.count() == count


def test_an_issuer_without_the_extra_says_what_to_install(office: Office) -> None:
    command = [sys.executable, "-c", "import sys; sys.modules['gmalg'] = None\nfrom issuer.cli import main; main()"]
    run = [*command, "run", str(office.layout.root), "--broker", "mqtts://127.0.0.1:1"]
    started = time.monotonic()
    done = subprocess.run(run, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "policy.suites names SM2" in done.stderr
    assert "pip install 'renzheng[gm]'" in done.stderr
    assert time.monotonic() - started < 20


async def test_the_transport_of_such_a_terminal_is_p256(scene: Scene) -> None:
    assert file_key.load(scene.victim.tls_key).algorithm == ES256
    signed, _ = await scene.token()
    assert cose.inspect(signed, limit=32 * 1024).algorithm == SM2_SM3
    assert scene.mallory.seen[0].topic == topics.EPOCH.of()

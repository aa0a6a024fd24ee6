"""Sealing, opening, and one whole question to the issuer: times, and bytes on the wire.

    python -m tests.bench.bench_wire [--rounds N]

Prints one JSON line each. The round trip runs through a real Mosquitto (mutual TLS 1.3) and a real issuer, whose
database is written with synchronous=FULL; a proxy between counts the bytes that the network carries, TLS included.
"""

import argparse
import asyncio
import functools
import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.trust import identity
from agent.wire import envelope, sm2
from agent.wire.claims import ClockEvidence, HolderData, PortraitData, Request
from agent.wire.keys import PrivateKey, PublicKey, SoftwareSigner, thumbprint, verify
from issuer import certificates, pki
from tests.protocol.wire_proxy import proxy
from tests.protocol.wire_stack import Stack, evidence, holder, stack, terminal


def say(what: str, **values: object) -> None:
    print(json.dumps({"bench": "wire", "what": what, **values}), flush=True)  # noqa: T201 - the output of a benchmark


def timed(work: Callable[[], object], rounds: int) -> dict[str, float]:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return spread(times)


def spread(times: list[float]) -> dict[str, float]:
    """Median and 95th of a hundred, in milliseconds."""
    ordered = sorted(times)
    return {"p50_ms": round(statistics.median(ordered), 3), "p95_ms": round(ordered[int(0.95 * len(ordered))], 3)}


def with_portrait(size: int) -> HolderData:
    picture = PortraitData(media_type="application/x-wlt", data=secrets.token_bytes(size))
    return holder().model_copy(update={"portrait": picture})


def envelopes(root: Path, rounds: int) -> None:
    """The two ends of a request, without a network."""
    layout = pki.create(root, "bench")
    who = identity.load(pki.enroll(layout, "lobby-1"))
    private = certificates.load_key(layout.key("sealing"))
    keys = {thumbprint(private.public_key()): private}
    recipient = who.issuer.sealing[0].public_key()
    assert isinstance(recipient, ec.EllipticCurvePublicKey)
    request = Request(
        **dict(evidence()),
        ueid=who.attester.ueid,
        terminal="lobby-1",
        audience="bench",
        issued_at=int(time.time()),
        request_id=secrets.token_bytes(16),
        epoch=secrets.token_bytes(16),
        counter=1,
        clock=ClockEvidence(trust="synchronised"),
    )

    def key_of(_chain: tuple[bytes, ...]) -> PublicKey:
        return who.attester.public_key

    for name, person in (
        ("no holder", None),
        ("holder", holder()),
        ("holder and 1024 bytes of WLT", with_portrait(1024)),
    ):

        def seal(person: HolderData | None = person) -> envelope.Sealed:
            return envelope.seal(request, person, signer=who.signer, chain=who.chain, recipient=recipient)

        data = seal().data

        def unseal(data: bytes = data) -> None:
            opened = envelope.unseal(data, keys, issuer="bench", terminal="lobby-1")
            read = envelope.read_request(opened.signed, key_of, issuer="bench", terminal="lobby-1")
            envelope.read_holder(opened.holder, read)

        say(f"seal, {name}", **timed(seal, rounds), bytes=len(data))
        say(f"open and verify, {name}", **timed(unseal, rounds))
    say_suites(rounds)


def say_suites(rounds: int) -> None:
    """The signature alone, by suite, of a request's 1500 bytes. SM2 takes a tenth of the rounds: it is that slow."""
    message = secrets.token_bytes(1500)
    keys_of: dict[str, PrivateKey] = {
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": Ed25519PrivateKey.generate(),
    }
    signers = {name: SoftwareSigner(key) for name, key in keys_of.items()}
    if sm2.installed():
        signers["SM2"] = SoftwareSigner(sm2.new_key())
    for name, signer in signers.items():
        some = rounds // 10 if name == "SM2" else rounds
        signature = signer.sign(message)
        say(f"sign, {name}", **timed(functools.partial(signer.sign, message), some))
        say(f"verify, {name}", **timed(functools.partial(verify, signer.public_key, signature, message), some))


async def round_trips(deployment: Stack, rounds: int) -> None:
    """From evidence to a verified decision."""
    folder = deployment.enroll("lobby-1")
    async with proxy(deployment.port) as network, terminal(folder, f"mqtts://127.0.0.1:{network.port}") as lobby:
        connected = network.carried
        await lobby.verify(evidence(), holder())
        times, before = [], network.carried
        for _ in range(rounds):
            start = time.perf_counter()
            decision = await lobby.verify(evidence(), holder())
            times.append(1000 * (time.perf_counter() - start))
            assert decision.accepted
        say("round trip through Mosquitto and the issuer", **spread(times))
        # Epochs go over the same wire: one every `epoch_interval`, here left in.
        say("bytes on the wire, one verification", bytes=round((network.carried - before) / rounds))
        say("bytes on the wire, connecting (TLS 1.3, mutual)", bytes=connected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        envelopes(Path(folder) / "envelopes", rounds)
        with stack(Path(folder) / "issuer", epoch_interval=60) as deployment:
            asyncio.run(round_trips(deployment, rounds))


if __name__ == "__main__":
    main()

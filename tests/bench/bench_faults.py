"""What a person meets when something between terminal and issuer is broken, and how soon it is whole again.

    python -m tests.bench.bench_faults

Prints one JSON line each: what the question that met the fault ended in (its deadline is 2 s), how long that took, and
the time from the repair to the next accepted verification.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from agent.failures import RenzhengError
from agent.trust.clock import Clock
from tests.protocol.wire_proxy import Proxy, proxy
from tests.protocol.wire_stack import Stack, Terminal, evidence, stack, terminal

DEADLINE = 2.0
YEAR = 365.25 * 86400


def say(fault: str, **values: object) -> None:
    print(json.dumps({"bench": "faults", "what": fault, **values}), flush=True)  # noqa: T201 - the output of a benchmark


async def ask(lobby: Terminal) -> str:
    """What one question ends in."""
    try:
        return (await lobby.verify(evidence(), within=DEADLINE)).outcome
    except RenzhengError as error:
        return error.code


async def met(lobby: Terminal) -> dict[str, object]:
    start = time.monotonic()
    code = await ask(lobby)
    return {"told": code, "after_s": round(time.monotonic() - start, 2)}


async def whole_again(lobby: Terminal) -> float:
    start = time.monotonic()
    while await ask(lobby) != "accepted":
        if time.monotonic() - start > 120:
            raise TimeoutError("it did not come back")
    return round(time.monotonic() - start, 2)


async def broker_gone(deployment: Stack, lobby: Terminal, seconds: float) -> None:
    deployment.stop_broker()
    told = await met(lobby)
    await asyncio.sleep(max(0, seconds - DEADLINE))
    await asyncio.to_thread(deployment.start_broker)
    say(f"broker gone for {seconds:.0f} s", **told, accepted_again_after_s=await whole_again(lobby))


async def issuer_gone(deployment: Stack, lobby: Terminal) -> None:
    deployment.stop_issuer()
    told = await met(lobby)
    await asyncio.sleep(3)
    later = await met(lobby)
    await asyncio.to_thread(deployment.start_issuer)
    say("issuer gone", **told, told_later=later["told"], accepted_again_after_s=await whole_again(lobby))


async def half_open(network: Proxy, lobby: Terminal) -> None:
    lobby.lost.clear()
    network.silent = True
    told = await met(lobby)
    start = time.monotonic()
    await lobby.lost.wait()
    noticed = round(time.monotonic() - start + DEADLINE, 1)
    network.cut()
    network.silent = False
    again = await whole_again(lobby)
    say("half-open TCP, keep-alive 15 s", **told, link_told_after_s=noticed, accepted_again_after_s=again)


async def cut(network: Proxy, lobby: Terminal) -> None:
    network.cut()
    say("connection cut", **await met(lobby), accepted_again_after_s=await whole_again(lobby))


async def wrong_clock(deployment: Stack, folder: Path, years: int) -> None:
    async with terminal(folder, deployment.url, clock=Clock(now=lambda: time.time() + years * YEAR)) as lobby:
        say(f"clock {years:+d} years", **await met(lobby))


async def main(deployment: Stack) -> None:
    folder = await asyncio.to_thread(deployment.enroll, "lobby-1")
    async with proxy(deployment.port) as network, terminal(folder, f"mqtts://127.0.0.1:{network.port}") as lobby:
        await ask(lobby)
        steps: list[Callable[[], Awaitable[None]]] = [
            lambda: cut(network, lobby),
            lambda: broker_gone(deployment, lobby, 1),
            lambda: broker_gone(deployment, lobby, 10),
            lambda: broker_gone(deployment, lobby, 60),
            lambda: issuer_gone(deployment, lobby),
            lambda: half_open(network, lobby),
        ]
        for step in steps:
            await step()
    for years in (-10, 10):
        await wrong_clock(deployment, folder, years)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, stack(Path(scratch) / "issuer") as made:
        asyncio.run(main(made))

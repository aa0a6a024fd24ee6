"""After a whole verification nothing of the holder is left: not on the terminal, not at the broker, nor at the issuer
beyond what its policy names."""

import asyncio
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from agent.app import running
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.simulator.actors import Holder
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.biometrics.simulator.person import Person as Body
from agent.biometrics.simulator.portraits import LIVE, shipped
from agent.biometrics.types import Template
from agent.demo import stage
from agent.demo.stage import Stage
from agent.verification.outcome import Outcome, Result
from agent.verification.screen import Screen
from firmware_bridge.simulator.chip import PassportChip
from firmware_bridge.simulator.person import Person
from firmware_bridge.simulator.personalise import personalise
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.stack import CardStack, missing
from tests.system.places import PORTRAIT

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(missing()), reason=missing() or "-")]

HOLDER = Person(
    surname="QUETZALCOATLUS", given_names="ZEPHYRINE", number="K7Q2W9X4C", personal_number="ZX98765432Q", size="TD3"
)


def traces(templates: Iterable[Template], portrait: bytes) -> dict[str, re.Pattern[bytes]]:
    """What to look for: texts in the encodings that files use, dates in any common order, bytes of pictures."""
    words = [HOLDER.surname, HOLDER.given_names, HOLDER.number, HOLDER.personal_number]
    born = HOLDER.birth_date
    dates = [born.strftime(form) for form in ("%Y-%m-%d", "%d.%m.%Y", "%Y%m%d", "%d/%m/%Y")]
    found = {f"text {number}": word for number, word in enumerate([*words, *dates])}
    patterns = {
        f"{name} {encoding}": re.compile(re.escape(text.encode(encoding)), re.IGNORECASE)
        for name, text in found.items()
        for encoding in ("utf-8", "utf-16-le")
    }
    # The MRZ's own line holds number and dates without separators.
    patterns["mrz"] = re.compile(re.escape(HOLDER.zone()[44:64].encode()))
    for at in range(0, len(portrait) - 24, max(1, len(portrait) // 40)):
        patterns[f"portrait at {at}"] = re.compile(re.escape(portrait[at : at + 24]), re.DOTALL)
    for number, template in enumerate(templates):
        for at in range(0, len(template.vector) - 3, 16):
            piece = template.vector[at : at + 3].tobytes()
            patterns[f"embedding {number} at {at}"] = re.compile(re.escape(piece), re.DOTALL)
    return patterns


def leaks(folder: Path, patterns: dict[str, re.Pattern[bytes]]) -> list[str]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found += [f"{path.relative_to(folder)}: {name}" for name, seen in patterns.items() if seen.search(content)]
    return found


async def verified(built: Stage, cards: CardStack, state: IssuingState, portrait: bytes) -> Outcome:
    camera = SimulatedCamera(Holder(Body.of(shipped(LIVE))), virtual=True)

    def read(screen: Screen) -> None:
        if screen.guidance is not None:
            camera.observe(screen.guidance, screen.light)

    async with running(built.settings, frames=lambda: camera) as app:
        app.screens.listen(read)
        outcomes = app.outcomes.watch()
        await app.ready(20)
        passport = personalise(HOLDER, portrait, state)
        app.inputs.give(passport.key)
        with cards.card(PassportChip(passport)):
            outcome = await asyncio.wait_for(outcomes.get(), 60)
        await app.drained(20)
    return outcome


@pytest.mark.parametrize("kept", [(), ("surname",)], ids=["nothing kept", "surname kept"])
async def test_nothing_is_left_of_the_holder_but_what_the_policy_names(
    tmp_path: Path, kept: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    portrait = PORTRAIT.read_bytes()
    state = IssuingState.create()
    state.write_trust(tmp_path / "trust")
    with CardStack() as cards:
        async with stage.built(tmp_path, tmp_path / "trust", "convenience", keep=kept) as built:
            outcome = await verified(built, cards, state, portrait)
        pcscd = cards.log.read_bytes()
    assert outcome.result is Result.VERIFIED, outcome
    (tmp_path / "pcscd.log").write_bytes(pcscd)
    (tmp_path / "agent.log").write_text(caplog.text)

    pipeline = FacePipeline()
    live = (PORTRAIT.parent / "holder-live.jpg").read_bytes()
    patterns = traces([pipeline.enroll(portrait), pipeline.enroll(live)], portrait)
    found = leaks(tmp_path, patterns)
    at_issuer = {leak for leak in found if leak.startswith("issuer/issuer.db")}
    assert set(found) == at_issuer, "only the issuer's database may hold anything"
    assert bool(at_issuer) is bool(kept)
    assert all(leak.endswith(("text 0 utf-8",)) for leak in at_issuer), at_issuer


def test_the_search_finds_what_is_planted(tmp_path: Path) -> None:
    pipeline = FacePipeline()
    portrait = PORTRAIT.read_bytes()
    template = pipeline.enroll(portrait)
    patterns = traces([template], portrait)
    planted = {
        "name": b"..." + HOLDER.surname.lower().encode() + b"...",
        "wide": HOLDER.number.encode("utf-16-le"),
        "born": b"born 1974-08-12",
        "picture": portrait[:4000],
        "vector": template.vector.tobytes(),
        "mrz": HOLDER.zone().encode(),
    }
    for name, content in planted.items():
        folder = tmp_path / hashlib.sha256(name.encode()).hexdigest()[:8]
        folder.mkdir()
        (folder / "file").write_bytes(content)
        assert leaks(folder, patterns), name

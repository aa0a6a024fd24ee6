"""The issuer's policy, from `issuer.toml`, and the decision that it makes of verified evidence: a pure function."""

import json
import tomllib
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.wire import sm2
from agent.wire.claims import DocumentEvidence, FaceEvidence, HolderData, Request
from agent.wire.keys import SUITES, PublicKey, algorithm_of
from agent.wire.refusals import Refusal
from issuer.errors import IssuerError

_DEFAULT = """\
# The issuer's name: terminals pin it with its keys.
name = {name}
# Seconds between two epochs. A request may name the current or the previous one.
epoch_interval = 5

[policy]
# A comparison counts only if its threshold was calibrated for at most this false match rate.
max_fmr = 1e-4
# Checks of the document that must have passed; `also` are held against it only when they failed.
required_checks = ["passive_authentication"]
# The same for a card that a security module read, such as a resident identity card.
required_checks_sam = ["sam_authentication"]
# At least one of these must have passed: the chip is no copy. Empty: not asked.
anti_cloning = []
# States of the terminal's clock under which a decision is made.
clocks = ["synchronised", "unsynchronised"]
# What device keys may sign with. "SM2" needs the extra `gm`; alone, it keeps all others out.
suites = ["ES256", "EdDSA"]
# What is kept of the holder, by field of HolderData; everything else is dropped with the request.
store = []

# Days after which the issuer forgets; 0: never. `renzheng-issuer retention show` tells what is held.
[retention]
# What `store` keeps of the holder.
holder = 90
# Signed records, for `renzheng evidence verify`.
decisions = 730
# What terminals reported. Identifiers stay longer, so that no event is ever stored twice.
events = 365
# One-time codes that were used or have expired.
codes = 30
"""

#: What a failed check means, as a code of the failure catalogue.
_FAILED = {
    "passive_authentication": "document.altered",
    "chip_authentication": "document.cloned",
    "active_authentication": "document.cloned",
    "sam_authentication": "document.altered",
    "expiry": "document.expired",
}


class Policy(BaseModel):
    """What evidence must show."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    max_fmr: float = Field(gt=0, lt=1)
    required_checks: tuple[str, ...]
    required_checks_sam: tuple[str, ...] = ("sam_authentication",)
    anti_cloning: tuple[str, ...] = ()
    clocks: tuple[str, ...]
    suites: tuple[Literal["ES256", "EdDSA", "SM2"], ...] = Field(default=("ES256", "EdDSA"), min_length=1)
    store: tuple[str, ...] = ()

    def takes(self, key: PublicKey) -> bool:
        """Whether a device key is of a suite that is allowed."""
        return algorithm_of(key) in {SUITES[name] for name in self.suites}


class Retention(BaseModel):
    """Days for which things are kept; 0: for ever."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    holder: int = Field(default=90, ge=0, le=36500)
    decisions: int = Field(default=730, ge=0, le=36500)
    events: int = Field(default=365, ge=0, le=36500)
    codes: int = Field(default=30, ge=0, le=36500)


class Settings(BaseModel):
    """The file `issuer.toml`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    epoch_interval: int = Field(ge=1, le=3600)
    policy: Policy
    retention: Retention = Retention()


def write_default(path: Path, name: str) -> None:
    """Write the default policy of the issuer `name`."""
    path.write_text(_DEFAULT.format(name=json.dumps(name)), "utf-8")


def keep(path: Path, names: Iterable[str]) -> None:
    """Change the default policy at `path` so that it stores these fields of the holder."""
    text = path.read_text("utf-8")
    path.write_text(text.replace("store = []", f"store = {json.dumps(list(names))}"), "utf-8")
    load(path)


def load(path: Path) -> Settings:
    """The settings in `path`.

    Raises:
        IssuerError: absent or wrong; the text names the key.
    """
    try:
        settings = Settings.model_validate(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise IssuerError(f"{path.parent} holds no issuer: run `renzheng-issuer init {path.parent}`") from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise IssuerError(f"{path}: {error}") from error
    unknown = set(settings.policy.store) - HolderData.model_fields.keys()
    if unknown:
        raise IssuerError(f"{path}: policy.store names unknown fields {sorted(unknown)}")
    if "SM2" in settings.policy.suites and not sm2.installed():
        raise IssuerError(f"{path}: policy.suites names SM2. {sm2.INSTALL}")
    return settings


def decide(policy: Policy, request: Request, holder: HolderData | None, today: date) -> tuple[str, ...]:
    """Why the holder is refused, the most important reason first; empty when accepted."""
    if request.clock.trust not in policy.clocks:
        return (Refusal.CLOCK,)
    return tuple(
        dict.fromkeys([*_document(policy, request.document), *_face(policy, request.face), *_dates(holder, today)])
    )


def kept(policy: Policy, holder: HolderData | None) -> dict[str, str]:
    """The holder's fields that the policy keeps; pictures are never among them."""
    values = ((name, getattr(holder, name, None)) for name in policy.store)
    return {name: value for name, value in values if isinstance(value, str)}


def _document(policy: Policy, document: DocumentEvidence | None) -> Iterable[str]:
    if document is None:
        yield Refusal.POLICY
        return
    verdicts = {check.name: check.verdict for check in document.checks}
    for name, verdict in verdicts.items():
        if verdict == "failed":
            yield _FAILED.get(name, Refusal.POLICY)
    for name in policy.required_checks_sam if document.access == "sam" else policy.required_checks:
        verdict = verdicts.get(name, "not_present")
        if verdict not in {"passed", "failed"}:
            yield "document.untrusted"
    if policy.anti_cloning and not any(verdicts.get(name) == "passed" for name in policy.anti_cloning):
        yield "document.cloned"


def _face(policy: Policy, face: FaceEvidence | None) -> Iterable[str]:
    if face is None:
        yield Refusal.POLICY
        return
    if face.liveness.verdict != "live":
        yield f"liveness.{face.liveness.verdict}"
    if face.similarity is None or face.threshold is None or face.target_fmr is None:
        yield Refusal.UNCOMPARED
    elif face.target_fmr > policy.max_fmr:
        yield Refusal.POLICY
    elif face.similarity < face.threshold:
        yield "face.mismatch"


def _dates(holder: HolderData | None, today: date) -> Iterable[str]:
    if holder is None or holder.valid_until is None:
        return
    try:
        valid_until = date.fromisoformat(holder.valid_until)
    except ValueError:
        yield Refusal.MALFORMED
        return
    if valid_until < today:
        yield "document.expired"

"""Provisioning, step by step. Each step finds what an earlier run has done and does the rest; each says what it did.

Root works for the service: everything below the state folder is done with the rights of the service's own user.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes

from agent.configuration.load import load
from agent.configuration.schema import Settings
from agent.failures import RenzhengError
from agent.health import check, runtime
from agent.health.checks import checks
from agent.provisioning import keys, service
from agent.provisioning import settings as settings_files
from agent.provisioning.account import Account, acting_as, make_folder, service_account
from agent.provisioning.keys import KeyWish
from agent.trust import anchors, enrolment, identity, site
from agent.trust.enrolment import Code
from agent.trust.errors import TrustError
from agent.trust.identity import TRUST, DeviceIdentity
from agent.wire.enrolment import SERVER_CERTIFICATE
from agent.wire.keys import Signer

DEFAULT_PORT = 8443


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, or found done. `warn`: it serves, and somebody should know."""

    id: str
    text: str
    warn: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asked for."""

    path: Path
    state: Path
    folder: Path
    url: str = ""
    code: Code | None = None
    key: KeyWish = field(default_factory=KeyWish)
    #: Tables of the settings that the command line names.
    said: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False
    serve: bool = True
    #: The answer of `renzheng-issuer sign`, instead of an issuer and a code.
    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended, and what the self-test says of it."""

    terminal: str
    steps: tuple[Step, ...]
    report: check.Report
    serving: bool


def address(text: str) -> str:
    """The URL of an issuer's provisioning service from what a person types: a host, a host and port, or the URL."""
    url = text.strip().rstrip("/")
    if "://" not in url:
        url = f"https://{url}"
    host = url.partition("://")[2]
    named = host.rpartition("]")[2] if host.startswith("[") else host
    return url if ":" in named else f"{url}:{DEFAULT_PORT}"


def provision(wish: Wish, told: Callable[[Step], None]) -> Outcome:
    """Do all of it; `told` hears each step as it is done.

    Raises:
        RenzhengError: `provision.*`, `trust.*`, `settings.invalid`; what was done before stays, and is found next time.
    """
    steps: list[Step] = []

    def tell(name: str, text: str, *, warn: bool = False) -> None:
        steps.append(Step(name, text, warn))
        told(steps[-1])

    account = service_account()
    kept = load(wish.path) if wish.path.exists() else None
    folder, key = _where(wish, kept)
    make_folder(wish.state if kept is None else kept.terminal.state, account)
    with acting_as(account):
        make_folder(folder, None)
        who, is_new = _enrolled(wish, folder, key, tell)
    settings, is_written = _settings(wish, kept, folder, key, account, tell)
    _documents(folder, settings, tell)
    serving = _serve(settings, tell, changed=is_new or is_written) if wish.serve else False
    with acting_as(account):
        report = check.run(checks(wish.path))
    return Outcome(who.terminal, tuple(steps), report, serving)


def _where(wish: Wish, kept: Settings | None) -> tuple[Path, KeyWish]:
    """The identity's folder and its key: a settings file that is there rules."""
    if kept is None:
        return wish.folder, keys.choose(wish.key)
    of_settings = keys.of_settings(kept.identity)
    asked = "file" if wish.key.kind in keys.FILE_KINDS else wish.key.kind
    if asked not in {"auto", of_settings.kind}:
        raise RenzhengError(
            "settings.invalid", f"{wish.path} says identity.key.type = {of_settings.kind!r}, the command line {asked!r}"
        )
    return kept.identity.folder, of_settings


Tell = Callable[..., None]


def _enrolled(wish: Wish, folder: Path, key: KeyWish, tell: Tell) -> tuple[DeviceIdentity, bool]:
    """The identity: the one that is there, or a new one; whether it is new."""
    where = keys.place(key, folder)
    found = None if wish.again else _found(folder, key)
    if found is not None:
        _same_issuer(wish, folder, found)
    elif not wish.answer and (wish.code is None or not wish.url):
        raise RenzhengError("provision.code", "this terminal is not enrolled yet: --issuer and --code are needed")
    signer = keys.signer(key, folder, make=True) if found is None else found.signer
    tell("key", where.text + _copyable(where), warn=where.copyable)
    if found is None:
        _enrol(wish, folder, signer)
    who = found or identity.load(folder, signer)
    server = anchors.read_certificates(folder / TRUST / SERVER_CERTIFICATE)[0].fingerprint(hashes.SHA256()).hex()
    how = "named by the code and now pinned" if found is None and wish.code is not None else "pinned"
    tell("issuer", f"{who.issuer.name!r}, its certificate (SHA-256 {server[:20]}...) {how}")
    left = enrolment.lifetime_left(folder, datetime.now(UTC)).days
    done = "enrolled" if found is None else "was enrolled already"
    tell("identity", f"{done} as {who.terminal}; good for {left} days")
    return who, found is None


def _found(folder: Path, key: KeyWish) -> DeviceIdentity | None:
    try:
        return identity.load(folder, keys.signer(key, folder, make=False))
    except TrustError:
        return None


def _same_issuer(wish: Wish, folder: Path, found: DeviceIdentity) -> None:
    """A code for another issuer is no reason to leave the one that this terminal has, unless somebody says so."""
    pinned = anchors.read_certificates(folder / TRUST / SERVER_CERTIFICATE)[0].fingerprint(hashes.SHA256())
    if wish.code is not None and not pinned.startswith(wish.code.pin):
        raise RenzhengError("provision.other", f"enrolled as {found.terminal} at {found.issuer.name!r}")


def _enrol(wish: Wish, folder: Path, signer: Signer) -> None:
    if wish.answer or wish.code is None:
        enrolment.accept(wish.answer, folder, signer)
    else:
        enrolment.enrol(wish.url, wish.code, folder, signer)


def _copyable(where: keys.Place) -> str:
    return ": there is no TPM here, and whoever copies the disk has the key" if where.copyable else ""


def _settings(
    wish: Wish, kept: Settings | None, folder: Path, key: KeyWish, account: Account | None, tell: Tell
) -> tuple[Settings, bool]:
    """The settings in force, and whether they were written now."""
    wished = settings_files.site(site.settings(folder))
    if kept is not None:
        tell("settings", f"{wish.path} was there and stays as it is")
        urls = tuple(wished.get("broker", {}).get("urls", ())) or kept.broker.urls
        if wish.said or (wish.again and urls != kept.broker.urls):
            tell("settings", f"not taken over: what the command line or the issuer says ({', '.join(urls)})", warn=True)
        return kept, False
    if not wish.url:
        tell("renewal", "no address of the issuer is known: add --issuer, or renew the certificates by hand", warn=True)
    own: dict[str, Any] = {
        "terminal": {"state": str(wish.state)},
        "identity": {"folder": str(folder), "issuer": wish.url, "key": dict(keys.place(key, folder).settings)},
    }
    tables, lines = settings_files.compose(wished, wish.said, own)
    settings = settings_files.check(tables, wish.path)
    for line in lines:
        tell("hardware", line, warn="was seen" in line)
    settings_files.write(wish.path, settings_files.text(tables), account)
    brokers = ", ".join(settings.broker.urls)
    tell("settings", f"{wish.path} written: for {settings.terminal.relying_party!r}, broker {brokers}")
    return settings, True


def _documents(folder: Path, settings: Settings, tell: Tell) -> None:
    """Take the states' certificates that the issuer handed out into the trust folder."""
    from firmware_bridge.emrtd.trust import TrustStore
    from firmware_bridge.emrtd.trust_import import import_file

    target = settings.documents.trust
    store = TrustStore.load(target) if target.exists() else TrustStore()
    files = sorted(site.documents(folder), key=lambda file: file.suffix.lower() == ".crl")
    # The service reads them under another user.
    mask = os.umask(0o022)
    try:
        results = [import_file(file, target, store) for file in files]
    except OSError as error:
        raise RenzhengError("provision.rights", f"{target}: {error.strerror}") from error
    finally:
        os.umask(mask)
    if not store.certificates and any(reader.type == "pcsc" for reader in settings.readers):
        tell("documents", f"no state's certificates: chips cannot be judged before some lie in {target}", warn=True)
        return
    new, refused = sum(result.new for result in results), sum(len(result.refused) for result in results)
    said = f"{len(store.certificates)} certificates of states in {target}, {new} new"
    tell("documents", f"{said}, {refused} refused" if refused else said, warn=bool(refused))


def _serve(settings: Settings, tell: Tell, *, changed: bool) -> bool:
    """Have the service run; whether it does."""
    if not service.manageable():
        tell("service", "not started: systemd or the package's unit is not here", warn=True)
        return False
    allowed, name = service.addresses(settings)
    changed |= service.restrict(allowed)
    if allowed is None:
        tell("network", f"the service may speak with any address: {name!r} is a name, and what it means may change")
    else:
        tell("network", f"the service may speak with {', '.join(allowed) or 'loopback'} and with nobody else")
    service.begin(changed=changed)
    heard = service.wait_for_issuer(runtime.SERVICE)
    hears = "hears the issuer" if heard else "does not hear the issuer yet"
    tell("service", f"runs, starts at every boot, and {hears}", warn=not heard)
    return True

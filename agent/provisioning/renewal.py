"""Renewal of certificates before they end: fetched, tried at the broker, and only then put in the place of the old."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.configuration.store import open_store
from agent.provisioning import keys
from agent.provisioning.keys import KeyWish
from agent.transport.mqtt import MqttLink, Tls
from agent.trust import anchors, enrolment, identity

#: Seconds that a broker has to let the new certificates in.
PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Whose certificates, from whom, and who must let them in."""

    folder: Path
    url: str
    brokers: tuple[str, ...]
    key: KeyWish


def of_settings(path: Path) -> Place:
    """What the settings in force say: those of the file at `path`, and what came from afar.

    Raises:
        RenzhengError: `settings.invalid`.
    """
    settings = open_store(path).active().settings
    own = settings.identity
    return Place(own.folder, own.issuer, settings.broker.urls, keys.of_settings(own))


def days_left(place: Place) -> int:
    """Days until the first of both certificates ends; negative when it has.

    Raises:
        TrustError: `trust.anchor`; a file is missing or holds no certificate.
    """
    return enrolment.lifetime_left(place.folder, datetime.now(UTC)).days


def renew(place: Place) -> None:
    """Fetch new certificates, connect with them once, and put them in the place of the old ones.

    Raises:
        RenzhengError: `provision.*`, `trust.*`; or `broker.*`: they were not let in, and the old ones stay.
    """
    signer = keys.signer(keys.choose(place.key), place.folder, make=False)
    enrolment.renew(place.url, place.folder, signer)
    asyncio.run(_connect_once(place))
    enrolment.promote(place.folder)


async def _connect_once(place: Place) -> None:
    # The issuer's name rules the client id, so a running agent is cut off for a moment and comes back by itself.
    certificate, key = (place.folder / (name + enrolment.NEW) for name in (identity.TLS_CHAIN, identity.TLS_KEY))
    tls = Tls(place.folder / identity.TRUST / anchors.BROKER_CA, certificate, key)
    link = MqttLink(client_id="", brokers=place.brokers, tls=tls)
    link.start()
    try:
        await link.wait_connected(PATIENCE)
    finally:
        await link.stop()

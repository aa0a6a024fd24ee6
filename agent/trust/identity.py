"""Who this terminal is: its evidence key with certificate, its TLS key with certificate, and whom it believes.

A device folder, as enrolment leaves it:

    device.key device.pem   the evidence key (or none, when a TPM or token holds it) and its chain, leaf first
    tls.key    tls.pem      the transport key and its chain
    trust/                  the anchors (`agent.trust.anchors`)

The two keys are apart on purpose: whoever steals the transport key reaches the broker, and still attests nothing.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from agent import durable
from agent.trust import anchors, file_key
from agent.trust.errors import TrustError
from agent.wire.chain import Attester, read_attester
from agent.wire.errors import WireError
from agent.wire.keys import Signer, certified_key, thumbprint

DEVICE_KEY = "device.key"
DEVICE_CHAIN = "device.pem"
TLS_KEY = "tls.key"
TLS_CHAIN = "tls.pem"
TRUST = "trust"
#: What a renewal brings, until the broker has let it in.
NEW = ".new"


@dataclass(frozen=True, slots=True, repr=False)
class DeviceIdentity:
    """The terminal's identity, loaded and consistent: the certificate is for the signer's key."""

    attester: Attester
    signer: Signer
    #: DER, leaf first: goes into every request.
    chain: tuple[bytes, ...]
    tls_certificate: Path
    tls_key: Path
    issuer: anchors.IssuerTrust

    @property
    def terminal(self) -> str:
        """The terminal's id."""
        return self.attester.terminal


def load(folder: Path, signer: Signer | None = None) -> DeviceIdentity:
    """The identity in `folder`; `signer` when a TPM or token holds the evidence key.

    A renewal that a power cut caught between its last two renames is finished first.

    Raises:
        TrustError: `trust.key`, `trust.certificate` or `trust.anchor`, naming the file.
    """
    signer = signer or file_key.load(folder / DEVICE_KEY)
    path = folder / DEVICE_CHAIN
    certificates = anchors.read_certificates(path)
    try:
        attester = read_attester(certificates[0])
    except WireError as error:
        raise TrustError("trust.certificate", f"{path}: {error}") from error
    if thumbprint(attester.public_key) != thumbprint(signer.public_key):
        raise TrustError("trust.certificate", f"{path} is not for the device key")
    for needed in (folder / TLS_CHAIN, folder / TLS_KEY):
        if not needed.is_file():
            raise TrustError("trust.certificate", f"{needed} is missing: run `renzheng provision`")
    _finish_renewal(folder)
    return DeviceIdentity(
        attester=attester,
        signer=signer,
        chain=tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates),
        tls_certificate=folder / TLS_CHAIN,
        tls_key=folder / TLS_KEY,
        issuer=anchors.load(folder / TRUST),
    )


def _finish_renewal(folder: Path) -> None:
    """The chain is moved before its key: a new chain that is not for the old key has its own beside it."""
    renewed = folder / (TLS_KEY + NEW)
    if not renewed.is_file():
        return
    # A key that was being made, or a folder that cannot be written: the old ones are as good as they were.
    with contextlib.suppress(TrustError, WireError, OSError):
        leaf = certified_key(anchors.read_certificates(folder / TLS_CHAIN)[0])
        if thumbprint(leaf) == thumbprint(file_key.load(renewed).public_key):
            renewed.replace(folder / TLS_KEY)
            durable.sync_folder(folder)

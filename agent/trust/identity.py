"""Who this terminal is: its evidence key with certificate, its TLS key with certificate, and whom it believes.

A device folder, as enrolment leaves it:

    device.key device.pem   the evidence key (or none, when a TPM or token holds it) and its chain, leaf first
    tls.key    tls.pem      the transport key and its chain
    trust/                  the anchors (`agent.trust.anchors`)

The two keys are apart on purpose: whoever steals the transport key reaches the broker, and still attests nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from agent.trust import anchors, file_key
from agent.trust.errors import TrustError
from agent.wire.chain import Attester, read_attester
from agent.wire.errors import WireError
from agent.wire.keys import Signer, thumbprint

DEVICE_KEY = "device.key"
DEVICE_CHAIN = "device.pem"
TLS_KEY = "tls.key"
TLS_CHAIN = "tls.pem"
TRUST = "trust"


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
    return DeviceIdentity(
        attester=attester,
        signer=signer,
        chain=tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates),
        tls_certificate=folder / TLS_CHAIN,
        tls_key=folder / TLS_KEY,
        issuer=anchors.load(folder / TRUST),
    )

"""Enrolment and renewal over HTTPS: the paths, the one-time code, and the message that asks for a renewal."""

from typing import Annotated

from pydantic import Field

from agent.wire.claims import TerminalId
from agent.wire.cose import Context
from agent.wire.message import STRICT, Key, Versioned

ENROL_PATH = "/renzheng/1/enrol"
RENEW_PATH = "/renzheng/1/renew"

#: A code is base32 of a secret and of the head of the SHA-256 of the server's certificate: 32 letters.
SECRET_SIZE = 10
PIN_SIZE = 10

SERVER_CERTIFICATE = "provisioning.pem"
#: The files of a trust folder that an answer may bring.
ANCHORS = frozenset(
    {"broker-ca.pem", "issuer-signing.pem", "issuer-sealing.pem", "evidence-ca.pem", SERVER_CERTIFICATE}
)

#: Besides certificates and anchors an enrolment brings what the issuer wishes of the site: settings in TOML, and the
#: certificates and lists (base64) of the states whose documents are believed. A master list of all states has 1 MB.
SITE_SETTINGS = "site/settings.toml"
SITE_DOCUMENTS = "site/documents"
ANSWER_LIMIT = 8 * 1024 * 1024

RENEWAL_LIMIT = 16 * 1024


class Renewal(Versioned):
    """A terminal asks for new certificates: for the device key that signs this, and for a new transport key.

    A renewal that is played again gives its sender certificates for keys that it does not hold.
    """

    terminal: Annotated[TerminalId, Key(-75001)]
    #: PKCS #10 in PEM.
    tls_request: Annotated[Annotated[bytes, STRICT, Field(max_length=4096)], Key(-75070)]


def renewal_context(issuer: str, terminal: str) -> Context:
    """From a terminal to its issuer."""
    return Context("renewal", issuer, terminal)

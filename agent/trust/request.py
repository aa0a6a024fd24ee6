"""Certification requests (PKCS #10, RFC 2986) by a `Signer`: the key may be in a TPM, where no library reaches it."""

from asn1crypto import algos, core, csr, keys, pem, x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.wire.keys import ES256, Signer

_HALF = 32


def certification_request(signer: Signer, name: str) -> bytes:
    """A PEM request for `signer`'s key under the common name `name`; the signature proves possession."""
    public = signer.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    wanted = csr.CertificationRequestInfo(
        {
            "version": "v1",
            "subject": x509.Name.build({"common_name": name}),
            "subject_pk_info": keys.PublicKeyInfo.load(public),
            "attributes": csr.CRIAttributes([]),
        }
    )
    raw = signer.sign(wanted.dump())
    on_curve = signer.algorithm == ES256
    request = csr.CertificationRequest(
        {
            "certification_request_info": wanted,
            "signature_algorithm": algos.SignedDigestAlgorithm(
                {"algorithm": "sha256_ecdsa" if on_curve else "ed25519"}
            ),
            "signature": core.OctetBitString(_der(raw) if on_curve else raw),
        }
    )
    return bytes(pem.armor("CERTIFICATE REQUEST", request.dump()))


def _der(raw: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big"))

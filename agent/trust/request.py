"""Certification requests (PKCS #10, RFC 2986) by a `Signer`: the key may be in a TPM, where no library reaches it."""

from asn1crypto import algos, core, csr, keys, pem, x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from agent.wire.keys import EDDSA, ES256, Signer, spki
from agent.wire.sm2 import SIGNATURE_OID, SM2_SM3

_HALF = 32
_SIGNATURES = {ES256: "sha256_ecdsa", EDDSA: "ed25519", SM2_SM3: SIGNATURE_OID}


def certification_request(signer: Signer, name: str) -> bytes:
    """A PEM request for `signer`'s key under the common name `name`; the signature proves possession."""
    wanted = csr.CertificationRequestInfo(
        {
            "version": "v1",
            "subject": x509.Name.build({"common_name": name}),
            "subject_pk_info": keys.PublicKeyInfo.load(spki(signer.public_key)),
            "attributes": csr.CRIAttributes([]),
        }
    )
    raw = signer.sign(wanted.dump())
    request = csr.CertificationRequest(
        {
            "certification_request_info": wanted,
            "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": _SIGNATURES[signer.algorithm]}),
            "signature": core.OctetBitString(raw if signer.algorithm == EDDSA else _der(raw)),
        }
    )
    return bytes(pem.armor("CERTIFICATE REQUEST", request.dump()))


def _der(raw: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big"))

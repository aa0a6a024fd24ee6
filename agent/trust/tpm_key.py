"""The device key in a TPM 2.0, through the TSS2 enhanced system API (tpm2-pytss; TCG TPM 2.0 Library, part 3).

The key is a primary object of the owner hierarchy, made in the TPM (fixedTPM, sensitiveDataOrigin) and kept at a
persistent handle: it has no form in which it could leave. Its template holds random bytes, so that enrolling anew makes
another key.
"""

import hashlib
import secrets
import threading

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_RC,
    TPM2_RH,
    TPM2_ST,
    TPM2B_DIGEST,
    TPM2B_ECC_PARAMETER,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPMA_OBJECT,
    TPMT_SIG_SCHEME,
    TPMT_TK_HASHCHECK,
    TSS2_Exception,
)

from agent.trust.errors import TrustError
from agent.trust.p256_key import P256Key

#: Without DECRYPT, which the default of the parser has: this key signs and does nothing else.
_ATTRIBUTES = (
    TPMA_OBJECT.FIXEDTPM
    | TPMA_OBJECT.FIXEDPARENT
    | TPMA_OBJECT.SENSITIVEDATAORIGIN
    | TPMA_OBJECT.USERWITHAUTH
    | TPMA_OBJECT.SIGN_ENCRYPT
)
_SIZE = 32


class TpmSigner(P256Key):
    """A P-256 key at a persistent handle. Calls take about a millisecond on swtpm, tens on a chip; any thread."""

    def __init__(self, handle: int, tcti: str) -> None:
        """Open the key at `handle` of the TPM behind `tcti` (`device:/dev/tpmrm0`).

        Raises:
            TrustError: `trust.key`; no TPM there, no key at the handle, or one that does not sign by ES256.
        """
        self._lock = threading.Lock()
        try:
            self._tpm = ESAPI(tcti)
            self._key = self._tpm.tr_from_tpmpublic(handle)
            public, _, _ = self._tpm.read_public(self._key)
            super().__init__(public.to_der())
        except (TSS2_Exception, ValueError, RuntimeError) as error:
            raise TrustError("trust.key", f"no usable key at {handle:#x} of the TPM {tcti}: {error}") from error

    def sign(self, message: bytes) -> bytes:
        """The raw ES256 signature of `message`.

        Raises:
            TrustError: `trust.key`; the TPM refused or is gone.
        """
        digest = TPM2B_DIGEST(hashlib.sha256(message).digest())
        scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.ECDSA)
        scheme.details.any.hashAlg = TPM2_ALG.SHA256
        # Not a restricted key: any digest may be signed, no ticket is asked.
        ticket = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)
        try:
            with self._lock:
                signed = self._tpm.sign(self._key, digest, scheme, ticket)
        except TSS2_Exception as error:
            raise TrustError("trust.key", f"the TPM did not sign: {error}") from error
        # `signed` owns the memory of what is below it.
        r, s = (bytes(part) for part in (signed.signature.ecdsa.signatureR, signed.signature.ecdsa.signatureS))
        return r.rjust(_SIZE, b"\0") + s.rjust(_SIZE, b"\0")

    def close(self) -> None:
        """Release the TPM."""
        with self._lock:
            self._tpm.close()


def create(handle: int, tcti: str) -> TpmSigner:
    """Make a new key in the TPM and keep it at `handle`.

    Raises:
        TrustError: `trust.key`; no TPM there, or the handle is taken.
    """
    template = TPM2B_PUBLIC.parse("ecc256:ecdsa-sha256", objectAttributes=_ATTRIBUTES)
    template.publicArea.unique.ecc.x = TPM2B_ECC_PARAMETER(secrets.token_bytes(_SIZE))
    template.publicArea.unique.ecc.y = TPM2B_ECC_PARAMETER(secrets.token_bytes(_SIZE))
    try:
        with ESAPI(tcti) as tpm:
            key, *_ = tpm.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.OWNER)
            try:
                tpm.evict_control(ESYS_TR.OWNER, key, handle)
            finally:
                tpm.flush_context(key)
    except TSS2_Exception as error:
        taken = error.rc & 0xFFFF == TPM2_RC.NV_DEFINED
        why = f"{handle:#x} holds a key already" if taken else str(error)
        raise TrustError("trust.key", f"no key was made in the TPM {tcti}: {why}") from error
    return TpmSigner(handle, tcti)

"""What the terminal itself makes of the evidence. Pure functions; the issuer judges again, and either can refuse."""

from dataclasses import dataclass

from agent.biometrics.types import STAFFED, FaceEvidence, LivenessVerdict
from firmware_bridge.document import Access, CheckName, Document, Verdict


@dataclass(frozen=True, slots=True)
class DocumentPolicy:
    """What is asked of a document."""

    clone_proof_required: bool = False
    accept_expired: bool = False


_CLONE_PROOFS = (CheckName.CHIP, CheckName.ACTIVE)


def document_fault(document: Document, policy: DocumentPolicy) -> str:
    """The failure code that speaks against `document`, the gravest first, or "".

    Passive authentication must have passed, and no proof against cloning may have failed; PACE with chip
    authentication mapping is such a proof as well (ICAO Doc 9303-11, 4.4.3.5). A card that a SAM read is vouched for by
    the SAM.
    """
    origin = document.check(CheckName.SAM if document.access is Access.SAM else CheckName.PASSIVE)
    proofs = [document.check(name) for name in _CLONE_PROOFS]
    proven = document.access is Access.SAM or any(proof.passed for proof in proofs)
    faults = (
        ("document.altered", origin.verdict is Verdict.FAILED),
        ("document.cloned", any(proof.verdict is Verdict.FAILED for proof in proofs)),
        ("document.untrusted", origin.verdict is Verdict.NOT_TRUSTED),
        ("document.unproven", not origin.passed),
        ("document.unproven", policy.clone_proof_required and not proven),
        ("document.expired", not policy.accept_expired and document.check(CheckName.EXPIRY).verdict is Verdict.FAILED),
    )
    return next((code for code, holds in faults if holds), "")


def face_fault(face: FaceEvidence) -> str:
    """The failure code that speaks against the face evidence, or "". `INDETERMINATE` never counts as live."""
    if face.liveness.verdict is LivenessVerdict.ATTACK:
        return face.failure or "liveness.attack"
    if face.failure:
        return face.failure
    if face.liveness.verdict is not LivenessVerdict.LIVE or face.template is None:
        return "liveness.indeterminate"
    return ""


def speaks_against(face: FaceEvidence, fault: str) -> bool:
    """Whether `fault` is a finding about the person: an attack, or liveness that was asked for and not shown.

    A face that never came, a camera that is gone, somebody who asked for the staff: none of them is.
    """
    if face.liveness.verdict is LivenessVerdict.ATTACK:
        return True
    return fault.startswith("liveness.") and fault != STAFFED

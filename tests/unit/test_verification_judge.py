"""What speaks against a document or a face, and that nothing short of a proof speaks for one."""

from collections.abc import Mapping

import numpy as np
import pytest

from agent.biometrics.types import FaceEvidence, LivenessEvidence, LivenessVerdict, Template
from agent.verification.judge import DocumentPolicy, document_fault, face_fault, speaks_against
from firmware_bridge.document import Access, Check, CheckName, Document, DocumentKind, Holder, Verdict

PASSED, FAILED = Check(Verdict.PASSED), Check(Verdict.FAILED)
UNTRUSTED, ABSENT = Check(Verdict.NOT_TRUSTED), Check(Verdict.NOT_PRESENT)
PASSIVE, CHIP, ACTIVE, EXPIRY = CheckName.PASSIVE, CheckName.CHIP, CheckName.ACTIVE, CheckName.EXPIRY


def passport(checks: Mapping[CheckName, Check], access: Access = Access.PACE) -> Document:
    return Document(
        kind=DocumentKind.PASSPORT,
        number="X0000000",
        issuing_state="UTO",
        holder=Holder("MUSTER", "KIM"),
        portrait=None,
        access=access,
        checks=checks,
    )


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ({PASSIVE: PASSED, CHIP: PASSED}, ""),
        ({PASSIVE: PASSED}, ""),
        ({PASSIVE: PASSED, CHIP: FAILED}, "document.cloned"),
        ({PASSIVE: PASSED, CHIP: PASSED, ACTIVE: FAILED}, "document.cloned"),
        ({PASSIVE: FAILED, CHIP: FAILED}, "document.altered"),
        ({PASSIVE: UNTRUSTED, CHIP: PASSED}, "document.untrusted"),
        ({PASSIVE: UNTRUSTED, CHIP: FAILED}, "document.cloned"),
        ({PASSIVE: ABSENT, CHIP: PASSED}, "document.unproven"),
        ({}, "document.unproven"),
        ({PASSIVE: PASSED, EXPIRY: FAILED}, "document.expired"),
        ({PASSIVE: FAILED, EXPIRY: FAILED}, "document.altered"),
    ],
)
def test_the_gravest_fault_of_a_document_is_named(checks: Mapping[CheckName, Check], code: str) -> None:
    assert document_fault(passport(checks), DocumentPolicy()) == code


def test_a_policy_can_require_a_proof_against_cloning() -> None:
    strict = DocumentPolicy(clone_proof_required=True)
    assert document_fault(passport({PASSIVE: PASSED}), strict) == "document.unproven"
    assert document_fault(passport({PASSIVE: PASSED, CHIP: UNTRUSTED}), strict) == "document.unproven"
    assert document_fault(passport({PASSIVE: PASSED, ACTIVE: PASSED}), strict) == ""
    # The check says whether PACE has proven the chip, not the way in.
    assert document_fault(passport({PASSIVE: PASSED}, Access.PACE_CAM), strict) == "document.unproven"
    assert document_fault(passport({PASSIVE: PASSED, CHIP: PASSED}, Access.PACE_CAM), strict) == ""


def test_a_sam_vouches_only_by_its_own_check() -> None:
    assert document_fault(passport({PASSIVE: PASSED}, Access.SAM), DocumentPolicy()) == "document.unproven"
    assert document_fault(passport({CheckName.SAM: PASSED}, Access.SAM), DocumentPolicy()) == ""


def test_a_policy_can_accept_an_expired_document() -> None:
    assert document_fault(passport({PASSIVE: PASSED, EXPIRY: FAILED}), DocumentPolicy(accept_expired=True)) == ""


def face(verdict: LivenessVerdict, *, template: bool = True, failure: str = "") -> FaceEvidence:
    vector = np.array([1.0], np.float32)
    return FaceEvidence(
        liveness=LivenessEvidence(verdict, "standard", ()),
        template=Template(vector, "00") if template else None,
        failure=failure,
    )


@pytest.mark.parametrize(
    ("evidence", "code"),
    [
        (face(LivenessVerdict.LIVE), ""),
        (face(LivenessVerdict.INDETERMINATE), "liveness.indeterminate"),
        (face(LivenessVerdict.LIVE, template=False), "liveness.indeterminate"),
        (face(LivenessVerdict.ATTACK), "liveness.attack"),
        (face(LivenessVerdict.INDETERMINATE, failure="face.none"), "face.none"),
        (face(LivenessVerdict.LIVE, failure="face.none"), "face.none"),
    ],
)
def test_only_a_live_face_with_a_template_has_no_fault(evidence: FaceEvidence, code: str) -> None:
    assert face_fault(evidence) == code


@pytest.mark.parametrize(
    ("verdict", "fault", "against"),
    [
        (LivenessVerdict.INDETERMINATE, "liveness.timeout", True),
        (LivenessVerdict.INDETERMINATE, "liveness.indeterminate", True),
        (LivenessVerdict.ATTACK, "camera.frozen", True),
        (LivenessVerdict.INDETERMINATE, "liveness.staffed_path", False),
        (LivenessVerdict.INDETERMINATE, "face.none", False),
    ],
)
def test_only_findings_about_the_person_speak_against_the_person(
    verdict: LivenessVerdict, fault: str, against: bool
) -> None:
    evidence = face(verdict, failure=fault)
    assert speaks_against(evidence, face_fault(evidence)) is against

"""From what the reader and the camera returned to the claims of the wire."""

import os
from collections.abc import Mapping

from agent.biometrics.types import Comparison, FaceEvidence
from agent.wire import claims
from firmware_bridge.document import Document, PortraitFormat


def document_claims(document: Document) -> claims.DocumentEvidence:
    """The document's evidence: verdicts and digests, nothing about the holder."""
    return claims.DocumentEvidence(
        kind=document.kind.value,
        issuing_state=document.issuing_state,
        access=document.access.value,
        checks=tuple(
            claims.CheckEvidence(name=name.value, verdict=check.verdict.value, reason=check.reason[:256])
            for name, check in document.checks.items()
        ),
        data_groups=tuple(
            claims.DataGroup(name=name, sha256=digest) for name, digest in sorted(document.digests.items())
        ),
    )


def face_claims(face: FaceEvidence, comparison: Comparison | None) -> claims.FaceEvidence:
    """The face's evidence; without a comparison the issuer compares."""
    liveness = face.liveness
    return claims.FaceEvidence(
        liveness=claims.Liveness(
            verdict=liveness.verdict.value,
            policy=liveness.policy,
            parts=tuple(
                claims.LivenessPart(
                    name=part.name,
                    verdict=part.verdict.value,
                    score=float(part.score),
                    threshold=float(part.threshold),
                    required=part.required,
                )
                for part in liveness.parts
            ),
            challenge=liveness.challenge,
            binding=liveness.binding or None,
        ),
        similarity=None if comparison is None else float(comparison.similarity),
        threshold=None if comparison is None else float(comparison.threshold),
        target_fmr=None if comparison is None else comparison.target_fmr,
        quality=tuple(claims.Quality(name=name, value=float(value)) for name, value in face.quality.items()),
        frames=face.frames,
    )


def holder_claims(document: Document, probe: bytes | None = None) -> claims.HolderData:
    """The holder's data, to be sealed for the issuer.

    Pictures go only where the issuer has to compare: then `probe` is the living face as a JPEG.
    """
    holder, portrait = document.holder, document.portrait
    return claims.HolderData(
        salt=os.urandom(16),
        surname=holder.surname or None,
        given_names=holder.given_names or None,
        native_name=holder.native_name or None,
        document_number=document.number or None,
        birth_date=holder.birth_date.isoformat() if holder.birth_date else None,
        valid_until=document.valid_until.isoformat() if document.valid_until else None,
        sex=holder.sex or None,
        nationality=holder.nationality or None,
        personal_number=holder.personal_number or None,
        portrait=(
            claims.PortraitData(media_type=portrait.format.value, data=portrait.data)
            if portrait is not None and probe is not None
            else None
        ),
        probe=None if probe is None else claims.PortraitData(media_type="image/jpeg", data=probe),
    )


def model_claims(models: Mapping[str, str]) -> tuple[claims.ModelDigest, ...]:
    """The models that took part, by role; digests come as hexadecimal."""
    return tuple(claims.ModelDigest(role=role, sha256=bytes.fromhex(digest)) for role, digest in models.items())


def comparable(document: Document) -> bool:
    """Whether this terminal can decode the document's portrait."""
    return document.portrait is not None and document.portrait.format is not PortraitFormat.WLT

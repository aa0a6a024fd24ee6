"""Certificates and revocation lists from outside, parsed to their end.

asn1crypto parses when it is asked: whatever is used later is asked for here, so that junk fails here and nowhere else.
"""

from asn1crypto import crl, x509

#: What asn1crypto raises for structures that are not what they claim.
PARSE_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError)


def force(certificate: x509.Certificate) -> None:
    """Parse whatever is used of a certificate.

    Raises:
        ValueError: or another of `PARSE_ERRORS`.
    """
    _ = certificate.subject.native, certificate.issuer.native, certificate.serial_number
    _ = certificate.subject.hashable, certificate.issuer.hashable, certificate.subject.human_friendly
    _ = certificate.not_valid_before, certificate.not_valid_after, certificate.public_key.native
    _ = certificate.key_identifier, certificate.authority_key_identifier, certificate.key_usage_value
    _ = certificate.basic_constraints_value, certificate["signature_value"].native
    _ = certificate["signature_algorithm"].native, certificate["tbs_certificate"]["signature"].native
    if certificate.key_usage_value is not None:
        _ = certificate.key_usage_value.native
    if certificate.extended_key_usage_value is not None:
        _ = certificate.extended_key_usage_value.native
    if certificate.basic_constraints_value is not None:
        _ = certificate.basic_constraints_value.native


def force_list(revocations: crl.CertificateList) -> None:
    """Parse whatever is used of a revocation list.

    Raises:
        ValueError: or another of `PARSE_ERRORS`.
    """
    body = revocations["tbs_cert_list"]
    _ = revocations.issuer.native, revocations.issuer.hashable, revocations.issuer.human_friendly
    _ = body["revoked_certificates"].native, body["next_update"].native
    _ = revocations["signature_algorithm"].native, revocations["signature"].native

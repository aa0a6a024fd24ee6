"""Certificates from outside: asn1crypto parses when it is asked, so that junk must be asked for in one place."""

from asn1crypto import x509

#: What asn1crypto raises for structures that are not what they claim.
PARSE_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError)


def force(certificate: x509.Certificate) -> None:
    """Parse whatever is used later, so that a broken certificate fails here and nowhere else.

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

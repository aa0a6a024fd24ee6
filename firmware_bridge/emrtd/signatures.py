"""Signatures of certificates, security objects and chips, as documents really carry them.

RSA with PKCS#1 v1.5 and PSS, ECDSA over named curves and over explicit parameters. Explicit parameters are accepted
only where they are, number for number, those of a standard curve: a hostile curve proves anything.
"""

import hashlib

from asn1crypto import algos, core, keys, x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from firmware_bridge.emrtd import curves
from firmware_bridge.emrtd.domain_parameters import CURVES_BY_OID, Curve
from firmware_bridge.emrtd.native_curves import NATIVE
from firmware_bridge.errors import Code, DocumentError

_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1,
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


def digest(name: str) -> hashes.HashAlgorithm:
    """The digest `name` as the cryptography package wants it."""
    return _HASHES[name]()


_MAX_RSA_BITS = 8192
#: ecdsa-plain-signatures of BSI TR-03111, 5.2.1.1: r and s side by side.
_PLAIN_ECDSA = {
    "0.4.0.127.0.7.1.1.4.1.1": "sha1",
    "0.4.0.127.0.7.1.1.4.1.2": "sha224",
    "0.4.0.127.0.7.1.1.4.1.3": "sha256",
    "0.4.0.127.0.7.1.1.4.1.4": "sha384",
    "0.4.0.127.0.7.1.1.4.1.5": "sha512",
}


def unsupported(text: str) -> DocumentError:
    """The error for a key or an algorithm that nobody here can judge."""
    return DocumentError(Code.DOCUMENT_MALFORMED, text)


def hash_name(algorithm: algos.DigestAlgorithm) -> str:
    """The name of a digest algorithm as `hashlib` knows it.

    Raises:
        DocumentError: for one that Doc 9303-12 does not allow.
    """
    name = str(algorithm["algorithm"].native)
    if name not in _HASHES:
        raise unsupported(f"digest algorithm {name} is not supported")
    return name


def known_curve(info: keys.PublicKeyInfo) -> Curve:
    """The standard curve that a public key's parameters name or spell out.

    Raises:
        DocumentError: for a curve that is not standard.
    """
    parameters = info["algorithm"]["parameters"]
    if not isinstance(parameters, keys.ECDomainParameters):
        raise unsupported("an elliptic key without domain parameters")
    if parameters.name == "named":
        curve = CURVES_BY_OID.get(parameters.chosen.dotted)
        if curve is None:
            raise unsupported(f"curve {parameters.chosen.dotted} is not supported")
        return curve
    if parameters.name != "specified":
        raise unsupported("an elliptic key with implicit parameters")
    return _match_explicit(parameters.chosen)


def _match_explicit(spelled: core.Sequence) -> Curve:
    if spelled["field_id"]["field_type"].native != "prime_field":
        raise unsupported("a curve that is not over a prime field")
    prime = spelled["field_id"]["parameters"].native
    a, b = (int.from_bytes(bytes(spelled["curve"][name]), "big") for name in ("a", "b"))
    base, order = bytes(spelled["base"]), spelled["order"].native
    for curve in CURVES_BY_OID.values():
        if (curve.p, curve.a, curve.b, curve.n) == (prime, a, b, order):
            if curves.decode(curve, base) != curves.generator(curve):
                break
            return curve
    raise unsupported("explicit curve parameters that belong to no standard curve")


def elliptic_point(info: keys.PublicKeyInfo) -> tuple[Curve, curves.Point]:
    """The curve and the point of an elliptic public key, validated."""
    curve = known_curve(info)
    return curve, curves.decode(curve, bytes(info["public_key"]))


def rsa_key(info: keys.PublicKeyInfo) -> rsa.RSAPublicKey:
    """The RSA key of a SubjectPublicKeyInfo (rsaEncryption or id-RSASSA-PSS).

    Raises:
        DocumentError: for a key of impossible size.
    """
    try:
        numbers = keys.RSAPublicKey.load(info["public_key"].parsed.dump())
        modulus, exponent = numbers["modulus"].native, numbers["public_exponent"].native
        if not 1024 <= modulus.bit_length() <= _MAX_RSA_BITS or exponent.bit_length() > 64:
            raise unsupported(f"an RSA key of {modulus.bit_length()} bits")
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except (ValueError, TypeError, AttributeError) as error:
        raise unsupported("an RSA key that cannot be parsed") from error


def verify(
    info: keys.PublicKeyInfo,
    algorithm: algos.SignedDigestAlgorithm,
    signature: bytes,
    message: bytes,
    digest: str | None = None,
) -> bool:
    """Whether `signature` over `message` is by the key `info`.

    Args:
        info: the signer's public key.
        algorithm: as the certificate or the CMS structure names it.
        signature: DER for ECDSA, raw for RSA.
        message: what was signed.
        digest: the digest's name where `algorithm` is a bare key algorithm (CMS names it apart).

    Raises:
        DocumentError: `document.malformed` for keys and algorithms that cannot be judged.
    """
    try:
        if info["algorithm"]["algorithm"].native == "ec":
            return _verify_elliptic(info, algorithm, signature, message, digest)
        return _verify_rsa(info, algorithm, signature, message, digest)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise unsupported("a key or an algorithm that cannot be parsed") from error


def _verify_rsa(
    info: keys.PublicKeyInfo,
    algorithm: algos.SignedDigestAlgorithm,
    signature: bytes,
    message: bytes,
    named: str | None,
) -> bool:
    kind = info["algorithm"]["algorithm"].native
    if kind not in {"rsa", "rsassa_pss"}:
        raise unsupported(f"public key algorithm {kind} is not supported")
    key = rsa_key(info)
    if algorithm["algorithm"].native == "rsassa_pss":
        parameters = algorithm["parameters"]
        if not isinstance(parameters, algos.RSASSAPSSParams):
            parameters = algos.RSASSAPSSParams()
        name = hash_name(parameters["hash_algorithm"])
        mask_name = hash_name(parameters["mask_gen_algorithm"]["parameters"])
        scheme: padding.AsymmetricPadding = padding.PSS(
            padding.MGF1(_HASHES[mask_name]()), int(parameters["salt_length"].native)
        )
    else:
        name, scheme = _named_digest(algorithm, named), padding.PKCS1v15()
    try:
        key.verify(signature, message, scheme, _HASHES[name]())
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _named_digest(algorithm: algos.SignedDigestAlgorithm, digest: str | None) -> str:
    try:
        name = algorithm.hash_algo
    except ValueError:
        name = digest
    if name is None or name not in _HASHES:
        raise unsupported(f"signature algorithm {algorithm['algorithm'].dotted} is not supported")
    return str(name)


def _verify_elliptic(
    info: keys.PublicKeyInfo,
    algorithm: algos.SignedDigestAlgorithm,
    signature: bytes,
    message: bytes,
    named: str | None,
) -> bool:
    curve, point = elliptic_point(info)
    plain = _PLAIN_ECDSA.get(algorithm["algorithm"].dotted)
    try:
        pair = split_plain(signature) if plain else utils.decode_dss_signature(signature)
    except ValueError:
        return False
    return verify_point(curve, point, plain or _named_digest(algorithm, named), pair, message)


def split_plain(signature: bytes) -> tuple[int, int]:
    """r and s of a plain signature, two numbers of the same size.

    Raises:
        ValueError: for an odd number of bytes.
    """
    half, odd = divmod(len(signature), 2)
    if odd or not half:
        raise ValueError("a plain signature of an odd size")
    return int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")


def verify_point(curve: Curve, point: curves.Point, name: str, pair: tuple[int, int], message: bytes) -> bool:
    """Whether (r, s) is an ECDSA signature over `message` with digest `name`."""
    native = NATIVE.get(curve.name)
    if native is None:
        return curves.verify_ecdsa(curve, point, pair, hashlib.new(name, message, usedforsecurity=False).digest())
    try:
        key = ec.EllipticCurvePublicNumbers(point.x, point.y, native()).public_key()
        key.verify(utils.encode_dss_signature(*pair), message, ec.ECDSA(_HASHES[name]()))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def certificate_is_signed_by(certificate: x509.Certificate, issuer: keys.PublicKeyInfo) -> bool:
    """Whether the key `issuer` signed `certificate`; what cannot be judged is not signed."""
    inner, outer = certificate["tbs_certificate"]["signature"], certificate["signature_algorithm"]
    if inner["algorithm"].dotted != outer["algorithm"].dotted:
        return False
    try:
        return verify(
            issuer,
            outer,
            certificate["signature_value"].native,
            certificate["tbs_certificate"].dump(),
        )
    except DocumentError:
        return False

"""An SM2 private key as PKCS #8 in PEM (RFC 5208, RFC 5915 with GM/T 0009's curve): what `openssl` reads and writes."""

from asn1crypto import keys, pem

from agent.wire import sm2
from agent.wire.sm2 import Sm2PrivateKey

keys.NamedCurve.register("sm2", sm2.CURVE_OID, sm2.SIZE)

_LABEL = "PRIVATE KEY"


def encode(key: Sm2PrivateKey) -> bytes:
    """The key in PEM, not encrypted."""
    point = keys.ECPointBitString.from_coords(key.public.x, key.public.y)
    inner = keys.ECPrivateKey({"version": "ecPrivkeyVer1", "private_key": key.secret, "public_key": point})
    inner["private_key"].set_encoded_width(sm2.SIZE)
    algorithm = {"algorithm": "ec", "parameters": keys.ECDomainParameters(name="named", value="sm2")}
    whole = keys.PrivateKeyInfo({"version": 0, "private_key_algorithm": algorithm, "private_key": inner})
    return bytes(pem.armor(_LABEL, whole.dump()))


def decode(data: bytes) -> Sm2PrivateKey:
    """The key in a PEM file. A public half in the file is not believed: it is computed.

    Raises:
        ValueError: not an SM2 key in PKCS #8.
        WireError: `suite`; the extra `gm` is not installed.
    """
    label, _, der = pem.unarmor(data)
    if label != _LABEL:
        raise ValueError("not PKCS #8")
    return sm2.private_key(_secret(der))


def _secret(der: bytes) -> int:
    try:
        whole = keys.PrivateKeyInfo.load(der)
        algorithm = whole["private_key_algorithm"]
        fits = (algorithm["algorithm"].native, algorithm["parameters"].native) == ("ec", "sm2")
        secret = whole["private_key"].parsed["private_key"].native if fits else None
    except (KeyError, TypeError) as error:
        # asn1crypto looks the algorithm up before anybody asks for it.
        raise ValueError("not a key of a known kind") from error
    if not isinstance(secret, int):
        raise ValueError("not an SM2 key")  # noqa: TRY004 - it is the file that is wrong, not our call
    return secret

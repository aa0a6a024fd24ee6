"""False documents, made from a genuine chip's memory."""

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from firmware_bridge.emrtd import portrait
from firmware_bridge.emrtd.files import GROUPS
from firmware_bridge.simulator.personalise import Personalisation, StaticKey


def cloned(memory: Personalisation) -> Personalisation:
    """A copy of everything that can be read: it answers every protocol, with keys of its own."""
    active = memory.active
    if isinstance(active, rsa.RSAPrivateKey):
        active = rsa.generate_private_key(65537, active.key_size)
    elif isinstance(active, ec.EllipticCurvePrivateKey):
        active = ec.generate_private_key(active.curve)
    return replace(
        memory,
        static=_other(memory.static),
        mapping_static=_other(memory.mapping_static),
        active=active,
    )


def _other(static: StaticKey | None) -> StaticKey | None:
    if static is None:
        return None
    private, _public = static.group.generate()
    return replace(static, private=private)


def hidden(memory: Personalisation) -> Personalisation:
    """A copy without DG14 and DG15, as a copier who knows what he cannot prove would make it."""
    return replace(memory.with_file(GROUPS[14].fid, None).with_file(GROUPS[15].fid, None), static=None, active=None)


def altered(memory: Personalisation, picture: bytes, *, width: int = 240, height: int = 320) -> Personalisation:
    """The same chip with another portrait in DG2."""
    return memory.with_file(GROUPS[2].fid, portrait.encode(picture, width=width, height=height))

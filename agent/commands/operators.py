"""Operators: whose commands count, and for what. Pinned at provisioning as `operators.toml` in the trust folder.

[[operator]]
name = "anna"
role = "support"
key = '''-----BEGIN PUBLIC KEY-----...'''       # signs commands: P-256 or Ed25519
seal = '''-----BEGIN PUBLIC KEY-----...'''      # optional, P-256: what diagnostics are encrypted to
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.failures import RenzhengError
from agent.wire.errors import WireError
from agent.wire.keys import ES256, PublicKey, algorithm_of, thumbprint

OPERATORS = "operators.toml"


class Role(IntEnum):
    """Each role may do what the ones before it may."""

    OBSERVER = 1
    SUPPORT = 2
    ADMINISTRATOR = 3


@dataclass(frozen=True, slots=True, repr=False)
class Operator:
    """Somebody whose signature counts."""

    name: str
    role: Role
    key: PublicKey
    seal: ec.EllipticCurvePublicKey | None


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9-]{1,32}$")
    role: str
    key: str
    seal: str = ""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: tuple[_Entry, ...] = Field(default=(), max_length=100)


def load(path: Path) -> Mapping[bytes, Operator]:
    """The operators by the thumbprint of their key. No file: nobody may order anything.

    Raises:
        RenzhengError: `command.operators`, naming what is wrong.
    """
    try:
        entries = _File.model_validate(tomllib.loads(path.read_text("utf-8"))).operator
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise RenzhengError("command.operators", f"{path} is not a list of operators") from error
    operators = [_operator(path, entry) for entry in entries]
    return {thumbprint(operator.key): operator for operator in operators}


def _operator(path: Path, entry: _Entry) -> Operator:
    try:
        role = Role[entry.role.upper()]
    except KeyError:
        roles = ", ".join(role.name.lower() for role in Role)
        raise RenzhengError("command.operators", f"{path}: {entry.name}: no such role; there are {roles}") from None
    key = _key(path, entry.name, entry.key)
    seal = _key(path, entry.name, entry.seal) if entry.seal else None
    if seal is not None and (algorithm_of(seal) != ES256 or thumbprint(seal) == thumbprint(key)):
        raise RenzhengError("command.operators", f"{path}: {entry.name}: seal must be a P-256 key of its own")
    return Operator(entry.name, role, key, seal if isinstance(seal, ec.EllipticCurvePublicKey) else None)


def _key(path: Path, name: str, pem: str) -> PublicKey:
    try:
        key = load_pem_public_key(pem.encode())
        algorithm_of(key)
    except (ValueError, UnsupportedAlgorithm, WireError) as error:
        raise RenzhengError("command.operators", f"{path}: {name}: not a P-256 or Ed25519 public key") from error
    return key  # type: ignore[return-value]  # algorithm_of refused every other kind

"""Where the device key lives: in the TPM when the machine has one, else in a file; or where the operator says.

Each choice is a table of the settings (`identity.key`) and a signer. A key that an earlier attempt made is used.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.configuration.schema import Identity
from agent.failures import RenzhengError
from agent.trust import file_key, identity
from agent.wire.keys import Signer

DEFAULT_HANDLE = 0x81010001
TPM_DEVICE = Path("/dev/tpmrm0")
#: Keys in files by what the command line calls them, with their suite (`agent.wire.keys.SUITES`).
FILE_KINDS = {"file": "ES256", "eddsa-file": "EdDSA", "sm2-file": "SM2"}
#: Everything that `--key` takes.
KINDS = ("auto", *FILE_KINDS, "tpm", "pkcs11")


@dataclass(frozen=True, slots=True)
class KeyWish:
    """What was asked for. `kind` is one of `KINDS`."""

    kind: str = "auto"
    tcti: str = f"device:{TPM_DEVICE}"
    handle: int = DEFAULT_HANDLE
    module: Path | None = None
    token: str = ""
    label: str = "renzheng"
    pin_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the key is: its settings, a word for people, and whether it could be copied."""

    settings: Mapping[str, object]
    text: str
    copyable: bool


def of_settings(settings: Identity) -> KeyWish:
    """The key that the settings of a provisioned terminal name."""
    return KeyWish(**{"kind" if name == "type" else name: value for name, value in settings.key})


def choose(wish: KeyWish, *, device: Path = TPM_DEVICE) -> KeyWish:
    """The wish with `auto` decided.

    Raises:
        RenzhengError: `provision.tpm`; there is a TPM, and nothing to speak to it with. Taking a file instead would
            be a weaker terminal that looks like the others.
    """
    if wish.kind != "auto":
        return wish
    if not device.exists():
        return KeyWish(kind="file")
    if importlib.util.find_spec("tpm2_pytss") is None:
        raise RenzhengError("provision.tpm", f"{device} is there, but python3-tpm2-pytss is not installed")
    return KeyWish(kind="tpm", tcti=f"device:{device}", handle=wish.handle)


def place(wish: KeyWish, folder: Path) -> Place:
    """Where a decided wish keeps the key."""
    match wish.kind:
        case "tpm":
            settings: dict[str, object] = {"type": "tpm", "handle": wish.handle, "tcti": wish.tcti}
            return Place(settings, f"in the TPM ({wish.tcti}, {wish.handle:#x}); it cannot be copied", copyable=False)
        case "pkcs11":
            settings = {
                "type": "pkcs11",
                "module": str(wish.module),
                "token": wish.token,
                "label": wish.label,
                "pin_file": str(wish.pin_file),
            }
            return Place(settings, f"on the token {wish.token!r}; it cannot be copied", copyable=False)
    return Place({"type": "file"}, f"in the file {folder / identity.DEVICE_KEY}", copyable=True)


def signer(wish: KeyWish, folder: Path, *, make: bool) -> Signer:
    """The key of a decided wish: found, else made if `make`.

    Raises:
        RenzhengError: `trust.key`.
    """
    match wish.kind:
        case "tpm":
            return _in_tpm(wish, make=make)
        case "pkcs11":
            return _on_token(wish, make=make)
    path = folder / identity.DEVICE_KEY
    if path.exists() or not make:
        return file_key.load(path)
    return file_key.create(path, kind=FILE_KINDS[wish.kind])


def _in_tpm(wish: KeyWish, *, make: bool) -> Signer:
    from agent.trust import tpm_key

    return _found_or_made(
        lambda: tpm_key.TpmSigner(wish.handle, wish.tcti), lambda: tpm_key.create(wish.handle, wish.tcti), make=make
    )


def _on_token(wish: KeyWish, *, make: bool) -> Signer:
    from agent.trust import pkcs11_key

    if wish.module is None or wish.pin_file is None:
        raise RenzhengError("settings.invalid", "a key on a token needs its module, token and PIN file")
    where = (wish.module, wish.token, wish.label, wish.pin_file)
    return _found_or_made(lambda: pkcs11_key.Pkcs11Signer(*where), lambda: pkcs11_key.create(*where), make=make)


def _found_or_made(find: Callable[[], Signer], create: Callable[[], Signer], *, make: bool) -> Signer:
    """The key of an earlier attempt, else a new one."""
    try:
        return find()
    except RenzhengError:
        if not make:
            raise
        return create()

"""A chip personalised from a folder, and written to one.

The folder holds `person.toml` (the fields of `Person`, and a table `[chip]` with those that `profile` names) and
`portrait.jpg` or `portrait.jp2`; anything missing is the specimen's.

    surname = "MUSTERFRAU"
    given_names = "LI NA"
    birth_date = 1991-02-03

    [chip]
    pace = ["ECDH-GM AES-128 12"]        # [] for none; parameters 0 to 2 are prime groups, 8 to 18 curves
    chip_authentication = "AES-128 12"   # "" for none
    active_authentication = "rsa"        # "ecdsa" or ""
    extended = true
    can = "500540"
"""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from firmware_bridge.emrtd import files
from firmware_bridge.emrtd.domain_parameters import CURVES, GROUPS
from firmware_bridge.emrtd.keys import CipherName
from firmware_bridge.emrtd.security_infos import Mapping, PaceInfo
from firmware_bridge.simulator import portraits
from firmware_bridge.simulator.person import Person
from firmware_bridge.simulator.personalise import Personalisation, Profile, pace

PERSON_FILE, PORTRAITS = "person.toml", ("portrait.jp2", "portrait.jpg", "portrait.jpeg")


class FolderError(ValueError):
    """A folder that describes no chip; the text names the file, the key and what is allowed."""


def load(folder: Path) -> tuple[Person, Profile, bytes]:
    """The person, the profile and the portrait that a folder describes.

    Raises:
        FolderError: with what is wrong.
    """
    tables: dict[str, Any] = {}
    if (folder / PERSON_FILE).exists():
        try:
            tables = tomllib.loads((folder / PERSON_FILE).read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise FolderError(f"{PERSON_FILE}: not TOML: {error}") from error
    chip = tables.pop("chip", {})
    names = {field.name for field in fields(Person)}
    if unknown := set(tables) - names:
        raise FolderError(f"{PERSON_FILE}: {min(unknown)}: no such field; there are {', '.join(sorted(names))}")
    picture = next((folder / name for name in PORTRAITS if (folder / name).exists()), None)
    image = picture.read_bytes() if picture else portraits.jpeg2000(portraits.HOLDER_CHIP)
    return Person(**tables), profile(chip), image


def profile(table: dict[str, Any]) -> Profile:
    """A chip's profile from the table `[chip]`.

    Raises:
        FolderError: with what is wrong.
    """
    result = Profile()
    for name, value in table.items():
        match name:
            case "pace":
                result = replace(result, pace=tuple(parse_pace(text) for text in value))
            case "chip_authentication":
                result = replace(result, chip_authentication=_chip_authentication(value) if value else None)
            case "active_authentication" | "extended" | "max_response" | "can" | "bac":
                result = replace(result, **{name: value})
            case _:
                raise FolderError(f"{PERSON_FILE}: chip.{name}: no such field")
    return result


def parse_pace(text: str) -> PaceInfo:
    """PACE as `ECDH-GM AES-128 12`: agreement and mapping, cipher, standard domain parameters.

    Raises:
        FolderError: with what is allowed.
    """
    try:
        method, cipher, number = text.split()
        agreement, mapping = method.split("-")
        allowed = {"ECDH": [*CURVES], "DH": [*GROUPS]}[agreement]
        parameter = {str(known): known for known in allowed}[number]
        return pace(Mapping(mapping), CipherName(cipher), parameter)
    except (ValueError, KeyError):
        raise FolderError(
            f"{text!r} is no PACE: write ECDH-GM, ECDH-IM, ECDH-CAM, DH-GM or DH-IM, then 3DES, AES-128, AES-192 or "
            "AES-256, then parameters (8 to 18 for ECDH, 0 to 2 for DH)"
        ) from None


def _chip_authentication(text: str) -> tuple[CipherName, int]:
    try:
        cipher, number = text.split()
        return CipherName(cipher), int(number)
    except ValueError:
        raise FolderError(f"{text!r} is no chip authentication: write AES-128 12") from None


_MASTER = (files.CARD_ACCESS, files.CARD_SECURITY, files.ATR_INFO, files.DIR)
_APPLICATION = (files.COM, files.SOD, *files.GROUPS.values())


def export(memory: Personalisation, folder: Path) -> None:
    """Write a chip's files as a dump: `EF_COM.bin`, `EF_SOD.bin`, `DG1.bin` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for directory, known in ((memory.master, _MASTER), (memory.application, _APPLICATION)):
        for file in known:
            if file.fid in directory:
                name = file.name.replace(".", "_").replace("/", "_")
                (folder / f"{name}.bin").write_bytes(directory[file.fid])

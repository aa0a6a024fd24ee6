"""ICAO Doc 9303-11's own worked examples: appendix D (BAC, secure messaging), G.1 and H.1 (PACE)."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.apdu.command import Command, Response, decode
from firmware_bridge.apdu.secure import AesSuite, SecureChannel, TripleDesSuite, pad
from firmware_bridge.emrtd import bac, curves, keys, mrz, pace, security_infos
from firmware_bridge.emrtd.agreement import CurveAgreement
from firmware_bridge.emrtd.domain_parameters import CURVES
from firmware_bridge.emrtd.integrated_mapping import encode_point, pseudo_random
from firmware_bridge.emrtd.keys import CipherName
from firmware_bridge.reader import MrzKey

VECTORS = Path(__file__).parent / "vectors"


def vector(name: str) -> dict[str, Any]:
    return dict(json.loads((VECTORS / name).read_text("utf-8")))


D = vector("icao9303-11-appendix-D-bac.json")
G1 = vector("icao9303-11-appendix-G1-pace-ecdh-gm.json")
#: Appendix D prints the dates of 1969 and 1994; the key needs no century.
D_KEY = MrzKey("L898902C<", date(1969, 8, 6), date(1994, 6, 23))
G1_KEY = MrzKey("T22000129", date(1964, 8, 12), date(2010, 10, 31))


class Script:
    """A transport that must be asked exactly what the document prints, and answers what it prints."""

    extended = False

    def __init__(self, exchanges: list[tuple[str, str]]) -> None:
        self.left = exchanges

    def transmit(self, command: Command) -> Response:
        expected, answer = self.left.pop(0)
        assert command.encode().hex().upper() == expected
        data = bytes.fromhex(answer)
        return Response(data[:-2], int.from_bytes(data[-2:], "big"))


class Fixed:
    """Random numbers as printed."""

    def __init__(self, *values: bytes) -> None:
        self.values = list(values)

    def __call__(self, _size: int) -> bytes:
        return self.values.pop(0)


def test_the_mrz_information_has_the_printed_check_digits() -> None:
    assert mrz.information(D_KEY) == D["mrz_information"]
    assert mrz.information(G1_KEY) == G1["mrz_information"]


def test_basic_access_control_opens_the_chip_of_appendix_d(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_bytes", Fixed(bytes.fromhex(D["RND_IFD"]), bytes.fromhex(D["K_IFD"])))
    script = Script(
        [
            (D["GET_CHALLENGE"], D["RND_IC"] + "9000"),
            (D["EXTERNAL_AUTHENTICATE"], D["RESP_DATA"] + "9000"),
            *((step["protected_command"], step["protected_response"]) for step in D["secure_messaging"]),
        ]
    )
    channel = bac.establish(script, D_KEY)
    for step in D["secure_messaging"]:
        plain = bytes.fromhex(step["command"])
        command = decode(plain)
        data, sw = channel.transmit(command)
        assert (data.hex().upper(), sw) == (step["response_data"], 0x9000)
    assert not script.left


def test_the_retail_mac_is_the_printed_one() -> None:
    suite = TripleDesSuite(bytes.fromhex(D["KEnc"]), bytes.fromhex(D["KMac"]))
    cryptogram = bytes.fromhex(D["E_IFD"])
    assert suite.retail_mac(pad(cryptogram, 8)).hex().upper() == D["M_IFD"]
    assert suite.encrypt(0, bytes.fromhex(D["RND_IFD"] + D["RND_IC"] + D["K_IFD"])) == cryptogram


def test_pace_opens_the_chip_of_appendix_g1(monkeypatch: pytest.MonkeyPatch) -> None:
    scalars = [int(G1["map_term_priv"], 16), int(G1["eph_term_priv"], 16)]
    monkeypatch.setattr(curves, "random_scalar", lambda _order: scalars.pop(0))
    infos = security_infos.parse(bytes.fromhex(G1["ef_cardaccess"]))
    offer = pace.choose(infos.pace)
    assert offer is not None
    assert offer.title == "ECDH-GM AES-128 parameters 13"
    script = Script([(exchange["cmd"], exchange["resp"]) for exchange in G1["apdus"]])
    result = pace.establish(script, offer, G1_KEY)
    assert not script.left
    assert isinstance(result.channel, SecureChannel)


def test_the_nonce_the_mapping_and_the_keys_of_appendix_g1() -> None:
    assert keys.password_key(G1_KEY, CipherName.AES_128).hex().upper() == G1["Kpi"]
    nonce = pace.decrypt_nonce(G1_KEY, CipherName.AES_128, bytes.fromhex(G1["z_encrypted_nonce"]))
    assert nonce.hex().upper() == G1["nonce_s"]
    group = CurveAgreement(CURVES[13])
    chip = group.decode(b"\x04" + bytes.fromhex(G1["map_chip_pub"]))
    shared = group.power(int(G1["map_term_priv"], 16), chip)
    assert group.encode(shared)[1:].hex().upper() == G1["map_shared_H"]
    assert group.encode(group.map_generic(nonce, shared))[1:].hex().upper() == G1["mapped_G"]


def test_the_integrated_mapping_of_appendix_h1() -> None:
    curve = CURVES[13]
    nonce = bytes.fromhex("2923BE84E16CD6AE529049F1F1BBE9EB")
    second = bytes.fromhex("5DD4CBFC96F5453B130D890A1CDBAE32")
    point = encode_point(curve, pseudo_random(CipherName.AES_128, nonce, second, curve.p))
    assert f"{point.x:064X}" == "8E82D31559ED0FDE92A4D0498ADD3C23BABA94FB77691E31E90AEA77FB17D427"
    assert f"{point.y:064X}" == "4C1AE14BD0C3DBAC0C871B7F3608169364437CA30AC243A089D3F266C1E60FAD"


def test_the_authentication_tokens_of_appendix_g1() -> None:
    suite = keys.suite(bytes.fromhex(G1["shared_K"]), CipherName.AES_128)
    printed = AesSuite(bytes.fromhex(G1["KSEnc"]), bytes.fromhex(G1["KSMac"]))
    group = CurveAgreement(CURVES[13])
    info = security_infos.parse(bytes.fromhex(G1["ef_cardaccess"])).pace[0]
    for name, key in (("T_IFD", "eph_chip_pub"), ("T_IC", "eph_term_pub")):
        public = group.decode(b"\x04" + bytes.fromhex(G1[key]))
        assert pace.token(suite, info, group, public).hex().upper() == G1[name]
    assert suite.encrypt(1, bytes(16)) == printed.encrypt(1, bytes(16))

"""ICAO Doc 9303-11's own worked examples: appendix D (BAC, secure messaging), G.1, G.2, H.1, H.2 and I.1 (PACE)."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.apdu import tlv
from firmware_bridge.apdu.command import Command, Response, decode
from firmware_bridge.apdu.secure import AesSuite, SecureChannel, TripleDesSuite, pad, unpad
from firmware_bridge.emrtd import bac, curves, keys, mrz, pace, security_infos
from firmware_bridge.emrtd.agreement import Agreement, CurveAgreement, GroupAgreement, agreement
from firmware_bridge.emrtd.chip_authentication import public_key, verify_mapping
from firmware_bridge.emrtd.domain_parameters import CURVES, GROUPS
from firmware_bridge.emrtd.integrated_mapping import encode_point, map_integrated, pseudo_random
from firmware_bridge.emrtd.keys import CipherName
from firmware_bridge.emrtd.security_infos import ChipAuthenticationKey
from firmware_bridge.reader import MrzKey

VECTORS = Path(__file__).parent / "vectors"


def vector(name: str) -> dict[str, Any]:
    return dict(json.loads((VECTORS / name).read_text("utf-8")))


D = vector("icao9303-11-appendix-D-bac.json")
G1 = vector("icao9303-11-appendix-G1-pace-ecdh-gm.json")
G2 = vector("icao9303-11-appendix-G2-pace-dh-gm.json")
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


# G.2 leaves the reference of the domain parameters out, G.1 names it: where there is one set, both may (4.4.4.1).
_NAMED = {"0022C1A40F800A04007F00070202040102830101": "0022C1A412800A04007F00070202040102830101840100"}


@pytest.mark.parametrize(
    ("example", "title"),
    [(G1, "ECDH-GM AES-128 parameters 13"), (G2, "DH-GM AES-128 parameters 0")],
    ids=["G1", "G2"],
)
def test_pace_opens_the_printed_chip(monkeypatch: pytest.MonkeyPatch, example: dict[str, Any], title: str) -> None:
    scalars = [int(example["map_term_priv"], 16), int(example["eph_term_priv"], 16)]
    monkeypatch.setattr(curves, "random_scalar", lambda _order: scalars.pop(0))
    infos = security_infos.parse(bytes.fromhex(example["ef_cardaccess"]))
    offer = pace.choose(infos.pace)
    assert offer is not None
    assert offer.title == title
    script = Script([(_NAMED.get(step["cmd"], step["cmd"]), step["resp"]) for step in example["apdus"]])
    result = pace.establish(script, offer, G1_KEY)
    assert not script.left
    assert isinstance(result.channel, SecureChannel)


@pytest.mark.parametrize("example", [G1, G2], ids=["G1", "G2"])
def test_the_nonce_the_mapping_and_the_secret_are_the_printed_ones(example: dict[str, Any]) -> None:
    assert keys.password_key(G1_KEY, CipherName.AES_128).hex().upper() == example["Kpi"]
    nonce = pace.decrypt_nonce(G1_KEY, CipherName.AES_128, bytes.fromhex(example["z_encrypted_nonce"]))
    assert nonce.hex().upper() == example["nonce_s"]
    group = group_of(example)
    shared = group.power(int(example["map_term_priv"], 16), public(group, example["map_chip_pub"]))
    assert printed(group, shared) == example["map_shared_H"]
    assert printed(group, group.map_generic(nonce, shared)) == example["mapped_G"]
    secret = group.secret(int(example["eph_term_priv"], 16), public(group, example["eph_chip_pub"]))
    assert secret.hex().upper() == example["shared_K"]


def test_the_integrated_mapping_of_appendix_h1() -> None:
    curve = CURVES[13]
    nonce = bytes.fromhex("2923BE84E16CD6AE529049F1F1BBE9EB")
    second = bytes.fromhex("5DD4CBFC96F5453B130D890A1CDBAE32")
    point = encode_point(curve, pseudo_random(CipherName.AES_128, nonce, second, curve.p))
    assert f"{point.x:064X}" == "8E82D31559ED0FDE92A4D0498ADD3C23BABA94FB77691E31E90AEA77FB17D427"
    assert f"{point.y:064X}" == "4C1AE14BD0C3DBAC0C871B7F3608169364437CA30AC243A089D3F266C1E60FAD"


def test_the_integrated_mapping_of_appendix_h2() -> None:
    group = GroupAgreement(GROUPS[0])
    nonce = bytes.fromhex("FA5B7E3E49753A0DB9178B7B9BD898C8")
    second = bytes.fromhex("B3A6DB3C870C3E99245E0D1C06B747DE")
    generator = map_integrated(group.group, CipherName.AES_128, nonce, second)
    assert isinstance(generator, int)
    private = int(
        "4BD0E54740F9A028E6A515BFDAF967848C4F5F5FFF65AA0915947FFD1A0DF2FA6981271BC905F3551457B7E03AC3B806"
        "6DE4AA406C1171FB43DD939C4BA16175103BA3DEE16419AA248118F90CC36A3D6F4C373652E0C3CCE7F0F1D0C5425B36"
        "00F0F0D6A67F004C8BBA33F2B4733C7252445C1DFC4F1107203F71D2EFB28161",
        16,
    )
    assert group.encode(group.power(private, generator)).hex().upper() == (
        "0F0CC62945A8029251FB7EF3C094E12EC68E4EF07F27CB9D9CD04C5C4250FAE0E4F8A951557E929AEB48E5C6DD47F2F5"
        "CD7C351A9BD2CD722C07EDE166770F08FFCB370262CF308DD7B07F2E0DA9CAAA1492344C852906919538C98A4BA4187E"
        "76CE9D87832386D319CE2E043C3343AEAE6EDBA1A9894DC5094D22F7FE1351D5"
    )


@pytest.mark.parametrize("example", [G1, G2], ids=["G1", "G2"])
def test_the_keys_and_the_authentication_tokens_are_the_printed_ones(example: dict[str, Any]) -> None:
    suite = keys.suite(bytes.fromhex(example["shared_K"]), CipherName.AES_128)
    as_printed = AesSuite(bytes.fromhex(example["KSEnc"]), bytes.fromhex(example["KSMac"]))
    group = group_of(example)
    info = security_infos.parse(bytes.fromhex(example["ef_cardaccess"])).pace[0]
    for name, key in (("T_IFD", "eph_chip_pub"), ("T_IC", "eph_term_pub")):
        assert pace.token(suite, info, group, public(group, example[key])).hex().upper() == example[name]
    assert suite.encrypt(1, bytes(16)) == as_printed.encrypt(1, bytes(16))


def group_of(example: dict[str, Any]) -> Agreement[Any]:
    domain = security_infos.parse(bytes.fromhex(example["ef_cardaccess"])).pace[0].domain
    assert domain is not None
    return agreement(domain)


def public(group: Agreement[Any], text: str) -> Any:
    """A public key as the document prints it: points without the byte that says uncompressed."""
    return group.decode(_lead(group) + bytes.fromhex(text))


def printed(group: Agreement[Any], element: Any) -> str:
    return group.encode(element).removeprefix(_lead(group)).hex().upper()


def _lead(group: Agreement[Any]) -> bytes:
    return b"\x04" if isinstance(group, CurveAgreement) else b""


def test_chip_authentication_mapping_proves_the_chip_of_appendix_i1() -> None:
    """The static key names its curve by number, as EF.CardSecurity does."""
    infos = security_infos.parse(
        bytes.fromhex(
            "31643062060904007F0007020201023052300C060704007F0007010202010D034200041872709494399E7470A6431BE25E83EE"
            "E24FEA568C2ED28DB48E05DB3A610DC884D256A40E35EFCB59BF6753D3A489D28C7A4D973C2DA138A6E7A4A08F68E16F02010D"
        )
    )
    suite = AesSuite(bytes.fromhex("0A9DA4DB03BDDE39FC5202BC44B2E89E"), bytes(16))
    chip_data = bytes.fromhex(
        "1EEA964DAAE372AC990E3EFDE6333353BFC89A6704D93DA8798CF77F5B7A54BD10CBA372B42BE0B9B5F28AA8DE2F4F92"
    )
    plain = unpad(suite.decrypt((1 << 128) - 1, chip_data))
    assert plain.hex().upper() == "85DC3FA93D0952BFA82F5FD189EE75BD82F11D1F0B8ED4BF5319AC9B53C426B3"
    mapping_key = bytes.fromhex(
        "04A234236AA9B9621E8EFB73B5245C0E09D2576E5277183C1208BDD55280CAE8B3"
        "04F365713A356E65A451E165ECC9AC0AC46E3771342C8FE5AEDD092685338E23"
    )
    (key,) = infos.chip_keys
    assert verify_mapping(plain, mapping_key, key, CURVES[13])
    assert not verify_mapping(bytes(31) + b"\x02", mapping_key, key, CURVES[13])
    assert not verify_mapping(plain, mapping_key, key, CURVES[12])


@pytest.mark.parametrize("number", [0, 2, 8, 12, 18])
def test_a_static_key_may_name_its_domain_by_number(number: int) -> None:
    domain = CURVES.get(number) or GROUPS[number]
    group: Any = agreement(domain)
    _private, element = group.generate()
    content = group.encode(element)
    if number in GROUPS:
        content = tlv.encode(0x02, b"\x00" + content)
    named = tlv.encode(0x06, bytes.fromhex("04007F00070102")) + tlv.encode(0x02, bytes((number,)))
    spelled = tlv.encode(0x30, tlv.encode(0x30, named) + tlv.encode(0x03, b"\x00" + content))
    _agreement, found = public_key(ChipAuthenticationKey(number in CURVES, spelled, None))
    assert found == element

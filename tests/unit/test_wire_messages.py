"""The messages: what goes in comes out, and what does not belong is refused with its reason."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import bounded, claims, message
from agent.wire.claims import ClockEvidence, Decision, HolderData, Request
from agent.wire.errors import Fault, WireError
from tests.protocol.wire_stack import evidence, holder


def request(**changes: object) -> Request:
    fields: dict[str, object] = {
        **dict(evidence()),
        "ueid": b"\x01" + bytes(16),
        "terminal": "lobby-1",
        "audience": "test-issuer",
        "issued_at": 1_800_000_000,
        "request_id": bytes(16),
        "epoch": bytes(16),
        "counter": 7,
        "clock": ClockEvidence(trust="synchronised"),
    }
    return Request.model_validate({**fields, **changes})


def fault(data: bytes, limit: int = claims.REQUEST_LIMIT) -> Fault:
    with pytest.raises(WireError) as refused:
        Request.decode(data, limit=limit)
    return refused.value.fault


def test_a_request_comes_out_as_it_went_in() -> None:
    assert Request.decode(request().encode(), limit=claims.REQUEST_LIMIT) == request()


def test_registered_claims_have_the_keys_of_their_registries() -> None:
    fields = cbor2.loads(request().encode())
    assert fields[256] == b"\x01" + bytes(16)
    assert fields[10] == bytes(16)
    assert fields[265] == claims.PROFILE
    assert fields[3] == "test-issuer"
    assert fields[271] == "0.1.0"


def test_our_own_claims_are_in_the_private_range() -> None:
    registered = {1, 3, 6, 7, 10, 256, 265, 270, 271}
    ours = {key for model in (Request, Decision) for key in message.keys(model).values()} - registered
    assert ours
    assert all(key < -65536 for key in ours)


def test_the_holder_is_not_in_the_token() -> None:
    named = claims.holder_digest(holder().encode())
    encoded = request(holder_digest=named).encode()
    for personal in (b"ERIKSSON", b"ANNA", b"L898902C3", b"1974"):
        assert personal not in encoded


def test_a_newer_minor_version_is_understood_without_what_it_added() -> None:
    fields = cbor2.loads(request().encode())
    fields[message.VERSION_KEY] = [1, 9]
    fields[-75099] = "from the future"
    fields[-75009][99] = True
    assert Request.decode(bounded.encode(fields), limit=claims.REQUEST_LIMIT) == request()


def test_an_unknown_key_of_our_own_version_is_refused() -> None:
    fields = cbor2.loads(request().encode())
    fields[-75099] = "smuggled"
    assert fault(bounded.encode(fields)) is Fault.MALFORMED


@pytest.mark.parametrize("version", [[2, 0], [0, 9], [1], "1.0", None, [True, 0]])
def test_another_major_version_is_refused(version: object) -> None:
    fields = cbor2.loads(request().encode())
    fields[message.VERSION_KEY] = version
    assert fault(bounded.encode(fields)) is Fault.VERSION


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (-75002, -1),
        (-75002, 1.0),
        (-75002, True),
        (7, bytes(15)),
        (-75001, "lobby/1"),
        (-75001, "lobby-1\n"),
        (3, b"test-issuer"),
        (256, "x" * 17),
        (10, bytes(7)),
        (-75009, {1: "perfect"}),
        (-75006, {1: {1: "live", 2: "p"}, 4: float("nan")}),
        (-75007, [{1: "embed"}]),
        ("terminal", "lobby-1"),
    ],
)
def test_a_value_outside_the_contract_is_refused(key: object, value: object) -> None:
    fields = cbor2.loads(request().encode())
    fields[key] = value
    assert fault(cbor2.dumps(fields)) is Fault.MALFORMED


def test_names_in_place_of_keys_are_refused() -> None:
    by_name: dict[object, object] = {
        message.VERSION_KEY: list(message.VERSION),
        **dict(ClockEvidence(trust="synchronised")),
    }
    with pytest.raises(WireError):
        HolderData.decode(cbor2.dumps(by_name), limit=1000)


def test_a_record_shows_no_value_when_it_is_printed_or_refused() -> None:
    assert "ERIKSSON" not in repr(holder()) + str(holder())
    fields = cbor2.loads(holder().encode())
    fields[5] = "ERIKSSON"
    with pytest.raises(WireError) as refused:
        HolderData.decode(cbor2.dumps(fields), limit=1000)
    assert "ERIKSSON" not in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xa1",
        b"\x81" * 2000 + b"\x00",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x9f\x00\xff",
        b"\x5f\x41a\xff",
        b"\x1c",
        b"\xa0\x00",
        b"\x98" + b"\xff" + b"\x00" * 100,
        cbor2.dumps(cbor2.CBORTag(35, "(a+)+$")),
        b"\xd8\x1c\x81\xd8\x1d\x00",
        b"\xc2\x58\x20" + b"\xff" * 32,
        b"\x84" + b"\x80" * 4 + b"\x00",
        b"\xa2\x01\x02\x01\x03",
        b"\xa2\x01\x02\x18\x01\x03",
        b"\x81\xa2\x61a\xa1\x01\x02\x61a\x00",
        b"\xa1\xf5\x02",
        b"\xa1\xf9\x3c\x00\x02",
        b"\xa1\x41a\x02",
        b"\xa1\xd2\x00\x02",
    ],
)
def test_hostile_cbor_is_refused(data: bytes) -> None:
    with pytest.raises(WireError) as refused:
        bounded.decode(data, limit=4096)
    assert refused.value.fault in {Fault.MALFORMED, Fault.LIMIT}


def test_too_many_items_are_refused() -> None:
    with pytest.raises(WireError) as refused:
        bounded.decode(b"\x99\xff\xff" + bytes(0xFFFF), limit=100_000)
    assert refused.value.fault is Fault.LIMIT


def test_size_is_refused_before_anything_is_decoded() -> None:
    with pytest.raises(WireError) as refused:
        bounded.decode(bytes(5000), limit=4096)
    assert refused.value.fault is Fault.LIMIT


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_value_or_a_refusal(data: bytes) -> None:
    try:
        value = bounded.decode(data, limit=200)
    except WireError:
        return
    assert bounded.decode(bounded.encode(value), limit=4096) == value or value != value


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=20) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.integers(-100, 100), inner, max_size=5),
    max_leaves=20,
)


@given(_VALUES)
def test_what_the_contract_is_made_of_passes(value: object) -> None:
    assert bounded.decode(bounded.encode(value), limit=100_000) == value

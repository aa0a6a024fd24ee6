"""Code and contract say the same: contract.cddl against the messages, asyncapi.yaml against the topic table."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
import yaml  # type: ignore[import-untyped]  # no stubs among the test packages
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

import agent.wire
from agent.wire import bounded, claims, cose, envelope, epochs, events, message, sm2, topics
from agent.wire.claims import Decision
from agent.wire.epochs import Epoch
from agent.wire.errors import WireError
from agent.wire.events import Event, EventBatch, Receipt, RefusedEvent
from agent.wire.keys import SoftwareSigner, cose_key, thumbprint
from agent.wire.message import Message, Versioned
from tests.protocol.wire_stack import holder
from tests.unit.test_wire_messages import request

pycddl = pytest.importorskip("pycddl", reason="pycddl has no wheel for this machine")

FOLDER = Path(agent.wire.__file__).parent
CDDL = (FOLDER / "contract.cddl").read_text("utf-8")
ASYNCAPI = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text("utf-8"))
DEVICE = SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
ISSUER = ec.generate_private_key(ec.SECP256R1())

_RULE = re.compile(r"^([a-z][a-z0-9-]*) = \{(.*?)\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"(\? )?(-?\d+) =>")
#: Maps of COSE itself, which the messages do not model.
_HEADERS = {"seal-header", "seal-key", "device-header", "issuer-header", "nothing", "thumbprint-key"}

DECISION = Decision(
    issuer="test-issuer",
    terminal="lobby-1",
    issued_at=1_800_000_000,
    decision_id=bytes(16),
    epoch=bytes(16),
    request_id=bytes(16),
    request_digest=bytes(32),
    outcome="refused",
    reasons=("face.mismatch",),
)
EPOCH = Epoch(issuer="test-issuer", issued_at=1_800_000_000, epoch_id=bytes(16), sequence=360_000_000, interval=5)
EVENT = Event(event_id=bytes(16), kind="audit.record", priority=5, created_at=1_800_000_000, payload=b"\xa0")
BATCH = EventBatch(audience="test-issuer", terminal="lobby-1", events=(EVENT,))
RECEIPT = Receipt(
    issuer="test-issuer",
    terminal="lobby-1",
    issued_at=1_800_000_000,
    stored=(bytes(16),),
    refused=(RefusedEvent(event_id=bytes(16), reason="event.malformed"),),
)
STANDALONE: list[Versioned] = [request(), holder(), DECISION, EPOCH, BATCH, RECEIPT]


def rule_of(model: type[Message]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", model.__name__).lower()


def schema(rule: str) -> Any:
    return pycddl.Schema(f"start = {rule}\n{CDDL}")


def models() -> Iterator[type[Message]]:
    """Every record of the package that has keys of its own on the wire."""
    for module in pkgutil.iter_modules([str(FOLDER)]):
        found = importlib.import_module(f"agent.wire.{module.name}")
        for value in vars(found).values():
            if isinstance(value, type) and issubclass(value, Message) and value.__module__ == found.__name__:
                yield value


WITHOUT_RULE = {Message, Versioned, claims.Evidence}
MODELS = [model for model in models() if model not in WITHOUT_RULE]
RULES = {name: {int(key): bool(may) for may, key in _FIELD.findall(body)} for name, body in _RULE.findall(CDDL)}


def test_every_message_has_a_rule_and_every_rule_a_message() -> None:
    assert {rule_of(model) for model in MODELS} == RULES.keys() - _HEADERS


@pytest.mark.parametrize("model", MODELS, ids=rule_of)
def test_rule_and_message_have_the_same_keys(model: type[Message]) -> None:
    version = {message.VERSION_KEY} if issubclass(model, Versioned) else set()
    assert RULES[rule_of(model)].keys() == set(message.keys(model).values()) | version


@pytest.mark.parametrize("model", MODELS, ids=rule_of)
def test_what_a_message_may_leave_out_is_optional_in_its_rule(model: type[Message]) -> None:
    absent = {name for name, field in model.model_fields.items() if not field.is_required() and field.default is None}
    optional = {key for key, may in RULES[rule_of(model)].items() if may}
    assert {message.keys(model)[name] for name in absent} == optional


@pytest.mark.parametrize("sample", STANDALONE, ids=lambda sample: rule_of(type(sample)))
def test_a_message_as_encoded_satisfies_its_rule(sample: Versioned) -> None:
    schema(rule_of(type(sample))).validate_cbor(sample.encode())


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_what_the_code_takes_the_contract_allows(data: st.DataObject) -> None:
    sample = data.draw(st.sampled_from(STANDALONE))
    fields = cbor2.loads(sample.encode())
    key = data.draw(st.sampled_from(sorted(fields)))
    scalars = st.integers() | st.binary(max_size=40) | st.text(max_size=70) | st.floats(allow_nan=False) | st.booleans()
    fields[key] = data.draw(scalars | st.none() | st.lists(scalars, max_size=3))
    encoded = bounded.encode(fields)
    try:
        taken = type(sample).decode(encoded, limit=claims.SEALED_LIMIT)
    except WireError:
        return
    schema(rule_of(type(sample))).validate_cbor(taken.encode())


def test_envelopes_satisfy_their_rules() -> None:
    chain = (b"leaf", b"authority")
    sealed = envelope.seal(request(), holder(), signer=DEVICE, chain=chain, recipient=ISSUER.public_key())
    keys = {thumbprint(ISSUER.public_key()): ISSUER}
    opened = envelope.unseal(sealed.data, keys, issuer="test-issuer", terminal="lobby-1")
    satisfies("sealed-request", sealed.data, {0: "seal-header"})
    satisfies("sealed-content", claims.pack(opened.signed, opened.holder), {0: "signed-request", 1: "holder-data"})
    signed = {
        "request": opened.signed,
        "decision": envelope.sign_decision(DECISION, SoftwareSigner(ISSUER)),
        "epoch": epochs.sign(EPOCH, SoftwareSigner(ISSUER)),
        "event-batch": events.sign_batch(BATCH, DEVICE, chain=chain),
    }
    for rule, data in signed.items():
        header = "device-header" if rule in {"request", "event-batch"} else "issuer-header"
        satisfies(f"signed-{rule}", data, {0: header, 2: rule})
    schema("context").validate_cbor(cose.Context("request", "test-issuer", "lobby-1").encode())


def test_a_request_signed_with_sm2_satisfies_its_rule_and_a_decision_does_not() -> None:
    device = SoftwareSigner(sm2.new_key())
    sealed = envelope.seal(request(), None, signer=device, chain=(b"leaf",), recipient=ISSUER.public_key())
    keys = {thumbprint(ISSUER.public_key()): ISSUER}
    opened = envelope.unseal(sealed.data, keys, issuer="test-issuer", terminal="lobby-1")
    satisfies("signed-request", opened.signed, {0: "device-header", 2: "request"})
    for key in (device.public_key, ISSUER.public_key()):
        schema("thumbprint-key").validate_cbor(bounded.encode(cose_key(key)))
    with pytest.raises(pycddl.ValidationError):
        satisfies("signed-decision", envelope.sign_decision(DECISION, device), {0: "issuer-header", 2: "decision"})


def satisfies(rule: str, data: bytes, inside: dict[int, str]) -> None:
    """Layer by layer: pycddl applies a `.cbor` inside an array to every item of it."""
    outside = re.sub(r"bstr \.cbor [a-z-]+", "bstr", CDDL)
    pycddl.Schema(f"start = {rule}\n{outside}").validate_cbor(data)
    decoded = cbor2.loads(data)
    items = decoded.value if isinstance(decoded, cbor2.CBORTag) else decoded
    for index, embedded in inside.items():
        assert f"bstr .cbor {embedded}" in CDDL
        if embedded.startswith("signed-"):
            pycddl.Schema(f"start = {embedded}\n{outside}").validate_cbor(items[index])
        else:
            schema(embedded).validate_cbor(items[index])


def test_an_envelope_with_something_else_inside_does_not_satisfy_its_rule() -> None:
    with pytest.raises(pycddl.ValidationError):
        satisfies("signed-decision", epochs.sign(EPOCH, SoftwareSigner(ISSUER)), {0: "issuer-header", 2: "decision"})


def channels() -> dict[str, dict[str, Any]]:
    """Of asyncapi.yaml, by address: what the topic table says."""
    found = {}
    for operation in ASYNCAPI["operations"].values():
        name = operation["channel"]["$ref"].rsplit("/", 1)[1]
        channel, mqtt = ASYNCAPI["channels"][name], operation["bindings"]["mqtt"]
        found[channel["address"]] = {
            "publisher": channel["x-publisher"],
            "qos": mqtt["qos"],
            "retain": mqtt["retain"],
            "expiry": mqtt.get("messageExpiryInterval", 0),
        }
        assert operation["action"] == ("send" if channel["x-publisher"] == topics.ISSUER else "receive")
    assert len(found) == len(ASYNCAPI["channels"])
    return found


def test_the_channels_are_those_of_the_topic_table() -> None:
    table = {
        topic.address: {
            "publisher": topic.publisher,
            "qos": topic.qos,
            "retain": topic.retain,
            "expiry": topic.expiry,
        }
        for topic in topics.ALL
    }
    assert channels() == table


def test_every_channel_names_a_rule_of_the_contract() -> None:
    rules = set(re.findall(r"^([a-z][a-z0-9-]*) =", CDDL, re.MULTILINE))
    named = {entry["x-cddl"] for entry in ASYNCAPI["components"]["messages"].values() if "x-cddl" in entry}
    assert {"sealed-request", "signed-decision", "signed-epoch"} <= named <= rules


def test_the_versions_agree() -> None:
    major, minor = message.VERSION
    assert ASYNCAPI["info"]["version"].startswith(f"{major}.{minor}.")
    assert f"major version {major}" in CDDL
    assert f"renzheng/{major}" == topics.ROOT


@pytest.mark.parametrize(
    ("name", "terminal"),
    [
        ("renzheng/1/terminals/lobby-1/request", "lobby-1"),
        ("renzheng/1/terminals/lobby-1/decision", ""),
        ("renzheng/1/terminals//request", ""),
        ("renzheng/1/terminals/a/b/request", ""),
        ("renzheng/2/terminals/lobby-1/request", ""),
    ],
)
def test_a_topic_names_its_terminal(name: str, terminal: str) -> None:
    assert topics.REQUEST.terminal(name) == terminal

"""The chip's side of BAC, PACE, chip and active authentication (ICAO Doc 9303-11, 4 and 6)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256

from firmware_bridge.apdu import status, tlv
from firmware_bridge.apdu.command import Command, Response
from firmware_bridge.apdu.secure import Suite, TripleDesSuite, pad
from firmware_bridge.emrtd import curves, keys
from firmware_bridge.emrtd import pace as terminal
from firmware_bridge.emrtd.agreement import Agreement, CurveAgreement, agreement
from firmware_bridge.emrtd.integrated_mapping import NONCE_SIZE, map_integrated
from firmware_bridge.emrtd.keys import CipherName
from firmware_bridge.emrtd.security_infos import Mapping, PaceInfo, oid_text
from firmware_bridge.errors import DocumentError
from firmware_bridge.reader import CanKey
from firmware_bridge.simulator.personalise import Personalisation, StaticKey

_DONE = Response(b"", status.OK)


@dataclass(slots=True)
class Session:
    """Secure messaging as the chip sees it."""

    suite: Suite
    ssc: int


@dataclass(slots=True)
class _Pace:
    info: PaceInfo
    group: Agreement[Any]
    key: Any
    nonce: bytes = b""
    generator: Any = None
    mapping_private: int = 0
    factor: int = 0
    mapping_public: Any = None
    public: Any = None
    peer: Any = None
    suite: Suite | None = None


class Protocols:
    """The state machine behind every command that is not about files."""

    def __init__(self, memory: Personalisation) -> None:
        self._memory = memory
        self._commands: dict[int, Callable[[Command], Response]] = {
            0x84: self._challenge,
            0x82: self._external_authenticate,
            0x22: self._manage,
            0x86: self._general_authenticate,
            0x88: self._internal_authenticate,
        }
        self.reset()

    def reset(self) -> None:
        """Forget everything but the memory."""
        self.session: Session | None = None
        self._next: Session | None = None
        self._pace: _Pace | None = None
        self._agreeing: StaticKey | None = None
        self._challenge_sent = b""
        self._collected = b""

    def switch(self) -> None:
        """Let session keys that were agreed on take over."""
        if self._next is not None:
            self.session, self._next = self._next, None

    def run(self, command: Command, *, secured: bool) -> Response:
        """One command."""
        handler = self._commands.get(command.ins)
        if handler is None:
            return Response(b"", status.INSTRUCTION_UNSUPPORTED)
        if command.ins == 0x88 and not secured:
            return Response(b"", status.SECURITY_STATUS)
        try:
            response = handler(command)
        except (DocumentError, ValueError, IndexError):
            self._pace = None
            return Response(b"", status.WRONG_DATA)
        if not secured:
            self.switch()
        return response

    def _challenge(self, _command: Command) -> Response:
        if not self._memory.profile.bac:
            return Response(b"", status.INSTRUCTION_UNSUPPORTED)
        self._challenge_sent = secrets.token_bytes(8)
        return Response(self._challenge_sent, status.OK)

    def _external_authenticate(self, command: Command) -> Response:
        challenge, self._challenge_sent = self._challenge_sent, b""
        suite = keys.basic_access_suite(self._memory.key)
        cryptogram, checksum = command.data[:32], command.data[32:]
        if not challenge or len(command.data) != 40 or suite.retail_mac(pad(cryptogram, 8)) != checksum:
            return Response(b"", status.AUTHENTICATION_FAILED)
        plain = suite.decrypt(0, cryptogram)
        if plain[8:16] != challenge:
            return Response(b"", status.AUTHENTICATION_FAILED)
        own_key = secrets.token_bytes(16)
        answer = suite.encrypt(0, challenge + plain[:8] + own_key)
        seed = bytes(a ^ b for a, b in zip(plain[16:32], own_key, strict=True))
        counter = int.from_bytes(challenge[4:] + plain[4:8], "big")
        self._next = Session(keys.suite(seed, CipherName.TRIPLE_DES), counter)
        return Response(answer + suite.retail_mac(pad(answer, 8)), status.OK)

    def _manage(self, command: Command) -> Response:
        fields = {item.tag: item.value for item in tlv.parse(command.data)}
        if command.p1 == 0xC1:
            return self._start_pace(fields)
        static = self._memory.static
        if static is None:
            return Response(b"", status.REFERENCE_NOT_FOUND)
        if command.p2 == 0xA6:
            self._agree(static, fields.get(0x91, b""))
            return _DONE
        if oid_text(fields.get(0x80, b"")) != static.oid:
            return Response(b"", status.WRONG_DATA)
        self._agreeing = static
        return _DONE

    def _start_pace(self, fields: dict[int, bytes]) -> Response:
        oid, parameter = oid_text(fields.get(0x80, b"")), fields.get(0x84)
        offers = [
            info
            for info in self._memory.profile.pace
            if info.oid == oid and (parameter is None or info.parameter_id == int.from_bytes(parameter, "big"))
        ]
        if not offers or offers[0].domain is None:
            return Response(b"", status.WRONG_DATA)
        reference = fields.get(0x83, b"")
        if reference == b"\x01":
            key: Any = self._memory.key
        elif reference == b"\x02":
            key = CanKey(self._memory.profile.can)
        else:
            return Response(b"", status.REFERENCE_NOT_FOUND)
        self._pace = _Pace(offers[0], agreement(offers[0].domain), key)
        self._collected = b""
        return _DONE

    def _general_authenticate(self, command: Command) -> Response:
        self._collected += command.data
        head = tlv.header(self._collected)
        if head.size + head.length > len(self._collected):
            return _DONE
        data, self._collected = self._collected, b""
        items = tlv.parse(tlv.require(data, 0x7C))
        if self._agreeing is not None:
            static, self._agreeing = self._agreeing, None
            self._agree(static, tlv.require(data, 0x7C, 0x80))
            return Response(tlv.encode(0x7C, b""), status.OK)
        if self._pace is None:
            return Response(b"", status.CONDITIONS)
        value = items[0].value if items else b""
        return self._pace_step(self._pace, items[0].tag if items else 0, value)

    def _pace_step(self, state: _Pace, tag: int, value: bytes) -> Response:
        if tag == 0:
            return self._pace_nonce(state)
        if tag == 0x81:
            return self._pace_map(state, value)
        if tag == 0x83:
            private, state.public = state.group.generate(state.generator)
            state.peer = state.group.decode(value)
            secret = state.group.secret(private, state.peer)
            state.suite = keys.suite(secret, state.info.cipher)
            return _reply(0x84, state.group.encode(state.public))
        return self._pace_finish(state, value)

    def _pace_nonce(self, state: _Pace) -> Response:
        state.nonce = secrets.token_bytes(NONCE_SIZE[state.info.cipher])
        password = keys.password_key(state.key, state.info.cipher)
        if state.info.cipher is CipherName.TRIPLE_DES:
            encrypted = TripleDesSuite(password, password).encrypt(0, state.nonce)
        else:
            encrypted = Cipher(algorithms.AES(password), modes.CBC(bytes(16))).encryptor().update(state.nonce)
        return _reply(0x80, encrypted)

    def _pace_map(self, state: _Pace, value: bytes) -> Response:
        group, info = state.group, state.info
        if info.mapping is Mapping.INTEGRATED and info.domain is not None:
            state.generator = map_integrated(info.domain, info.cipher, state.nonce, value)
            return _reply(0x82, b"")
        static = self._memory.mapping_static
        state.mapping_private, state.mapping_public = group.generate()
        if info.mapping is Mapping.CHIP_AUTHENTICATION and static and isinstance(static.group, CurveAgreement):
            # The mapping key is a known multiple of the static one: that multiple is the proof (4.4.3.3.3).
            state.factor = state.mapping_private
            state.mapping_private = state.factor * static.private
            state.mapping_public = group.power(state.mapping_private, curves.generator(static.group.curve))
        state.generator = group.map_generic(state.nonce, group.power(state.mapping_private, group.decode(value)))
        return _reply(0x82, group.encode(state.mapping_public))

    def _pace_finish(self, state: _Pace, value: bytes) -> Response:
        self._pace = None
        suite = state.suite
        if suite is None or value != terminal.token(suite, state.info, state.group, state.public):
            return Response(b"", status.AUTHENTICATION_FAILED)
        answer = tlv.encode(0x86, terminal.token(suite, state.info, state.group, state.peer))
        static = self._memory.mapping_static
        if state.factor and static and isinstance(static.group, CurveAgreement):
            size = (static.group.curve.n.bit_length() + 7) // 8
            plain = pad(state.factor.to_bytes(size, "big"), suite.block)
            answer += tlv.encode(0x8A, suite.encrypt((1 << 128) - 1, plain))
        self._next = Session(suite, 0)
        return Response(tlv.encode(0x7C, answer), status.OK)

    def _agree(self, static: StaticKey, public: bytes) -> None:
        group: Agreement[Any] = static.group
        secret = group.secret(static.private, group.decode(public))
        self._next = Session(keys.suite(secret, static.cipher), 0)

    def _internal_authenticate(self, command: Command) -> Response:
        key = self._memory.active
        if isinstance(key, rsa.RSAPrivateKey):
            return Response(_sign_message_recovery(key, command.data), status.OK)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            pair = utils.decode_dss_signature(key.sign(command.data, ec.ECDSA(SHA256())))
            size = (key.curve.key_size + 7) // 8
            return Response(b"".join(number.to_bytes(size, "big") for number in pair), status.OK)
        return Response(b"", status.INSTRUCTION_UNSUPPORTED)


def _reply(tag: int, value: bytes) -> Response:
    return Response(tlv.encode(0x7C, tlv.encode(tag, value)), status.OK)


def _sign_message_recovery(key: rsa.RSAPrivateKey, nonce: bytes) -> bytes:
    """ISO/IEC 9796-2 scheme 1 with SHA-256: as much random message as fits, then the digest over it and the nonce."""
    numbers = key.private_numbers()
    modulus = numbers.public_numbers.n
    size = (modulus.bit_length() + 7) // 8
    message = secrets.token_bytes(size - 1 - 32 - 2)
    digest = hashlib.sha256(message + nonce).digest()
    value = int.from_bytes(b"\x6a" + message + digest + b"\x34\xcc", "big")
    return pow(value, numbers.d, modulus).to_bytes(size, "big")

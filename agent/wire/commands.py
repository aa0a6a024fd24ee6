"""What an operator orders a terminal to do, signed by the operator's own key.

    command = COSE_Sign1(operator key, Command)

Time is the issuer's: the operator's tool takes it from the newest epoch, the terminal compares it with the newest epoch
that it holds, and neither clock needs to be right. Progress and results travel as events.
"""

from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import Field

from agent.wire import cose
from agent.wire.claims import Count, Identifier, TerminalId, Text, Token
from agent.wire.cose import Context
from agent.wire.errors import Fault, WireError
from agent.wire.keys import PublicKey, Signer
from agent.wire.message import Key, Versioned

COMMAND_LIMIT = 4096
RESULT_LIMIT = 120 * 1024
#: A command is of use for ten minutes at most (seconds).
MAX_LIFETIME = 600

#: Kinds of the events that tell what became of a command.
PROGRESS = "command.progress"
RESULT = "command.result"


class Command(Versioned):
    """One order to one terminal."""

    issued_at: Annotated[Count, Key(6)]
    command_id: Annotated[Identifier, Key(7)]
    terminal: Annotated[TerminalId, Key(-75001)]
    name: Annotated[Token, Key(-75060)]
    #: The end of its use, by the issuer's time.
    expires_at: Annotated[Count, Key(-75061)]
    #: What the command takes, if it takes anything.
    argument: Annotated[Text, Key(-75062)] = ""


class CommandProgress(Versioned):
    """How far a command has come: the payload of an event of kind `PROGRESS`."""

    command_id: Annotated[Identifier, Key(7)]
    name: Annotated[Token, Key(-75060)]
    step: Annotated[Token, Key(-75063)]
    #: Hundredths, 0 to 100.
    done: Annotated[Annotated[int, Field(strict=True, ge=0, le=100)], Key(-75064)]


class CommandResult(Versioned):
    """How a command ended: the payload of an event of kind `RESULT`."""

    command_id: Annotated[Identifier, Key(7)]
    name: Annotated[Token, Key(-75060)]
    outcome: Annotated[Literal["done", "failed", "refused", "interrupted"], Key(-75065)]
    #: A failure code; empty when done.
    reason: Annotated[Token | Literal[""], Key(-75066)] = ""
    #: What the command found. `sealed`: COSE_Encrypt0 to the operator's sealing key.
    content: Annotated[Annotated[bytes, Field(strict=True, max_length=RESULT_LIMIT)], Key(-75067)] = b""
    sealed: Annotated[Annotated[bool, Field(strict=True)], Key(-75068)] = False


def sign(command: Command, signer: Signer) -> bytes:
    """The command as it is published."""
    return cose.sign(command.encode(), signer, _context(command.terminal))


def kid(data: bytes) -> bytes:
    """The thumbprint of the key that claims to have signed.

    Raises:
        WireError: not a signed message.
    """
    found = cose.inspect(data, limit=COMMAND_LIMIT).kid
    if found is None:
        raise WireError(Fault.UNKNOWN_KEY, "no key is named")
    return found


def read(data: bytes, key: PublicKey, *, terminal: str) -> Command:
    """A command to `terminal` by `key`; the caller checks role, time and whether it is new.

    Raises:
        WireError: not by that key, not for this terminal, not a command.
    """
    command = Command.decode(cose.verify(data, key, _context(terminal), limit=COMMAND_LIMIT), limit=COMMAND_LIMIT)
    if command.terminal != terminal:
        raise WireError(Fault.CONTEXT, "the command names another terminal")
    return command


def seal_result(content: bytes, recipient: ec.EllipticCurvePublicKey, *, terminal: str, command_id: bytes) -> bytes:
    """`content` for the operator alone."""
    return cose.encrypt(content, recipient, _result_context(terminal, command_id))


def open_result(
    data: bytes, keys: dict[bytes, ec.EllipticCurvePrivateKey], *, terminal: str, command_id: bytes
) -> bytes:
    """The content of a sealed result.

    Raises:
        WireError: sealed to another key, or to another command.
    """
    return cose.decrypt(data, keys, _result_context(terminal, command_id), limit=RESULT_LIMIT)


def _context(terminal: str) -> Context:
    return Context("command", terminal, "operator")


def _result_context(terminal: str, command_id: bytes) -> Context:
    return Context("command-result", command_id.hex(), terminal)

"""Why the issuer refuses a request: the codes of a refusal, each in the failure catalogue of the agent."""

from enum import StrEnum

from agent.wire.errors import Fault, WireError


class Refusal(StrEnum):
    """Reasons that concern the message; reasons that concern the person are the codes of `agent/failures`."""

    MALFORMED = "issuer.refused.malformed"
    VERSION = "issuer.refused.version"
    ALGORITHM = "issuer.refused.algorithm"
    SUITE = "issuer.refused.suite"
    SEAL = "issuer.refused.seal"
    CHAIN = "issuer.refused.chain"
    SIGNATURE = "issuer.refused.signature"
    CONTEXT = "issuer.refused.context"
    UNKNOWN_TERMINAL = "issuer.refused.unknown_terminal"
    REVOKED = "issuer.refused.revoked"
    EPOCH = "issuer.refused.epoch"
    REPLAY = "issuer.refused.replay"
    COUNTER = "issuer.refused.counter"
    CLOCK = "issuer.refused.clock"
    POLICY = "issuer.refused.policy"
    #: No similarity came with the request, and this issuer does not compare by itself.
    UNCOMPARED = "issuer.refused.uncompared"


_OF_FAULT = {
    Fault.MALFORMED: Refusal.MALFORMED,
    Fault.LIMIT: Refusal.MALFORMED,
    Fault.VERSION: Refusal.VERSION,
    Fault.ALGORITHM: Refusal.ALGORITHM,
    Fault.SUITE: Refusal.SUITE,
    Fault.SIGNATURE: Refusal.SIGNATURE,
    Fault.CHAIN: Refusal.CHAIN,
    Fault.DECRYPTION: Refusal.SEAL,
    Fault.UNKNOWN_KEY: Refusal.SEAL,
    Fault.CONTEXT: Refusal.CONTEXT,
}


def of_error(error: WireError) -> Refusal:
    """The refusal that a wire error leads to."""
    return _OF_FAULT[error.fault]

"""The topics of the contract, in one table: names, who publishes, who subscribes, and with what MQTT 5 properties.

`{terminal}` is the terminal's id, which is also the common name of its TLS certificate: the broker compares the two.
`asyncapi.yaml` says the same for other languages; a test holds the two together.
"""

from dataclasses import dataclass

#: Major version of the contract: another one lives under another root.
ROOT = "renzheng/1"

ISSUER = "issuer"
TERMINAL = "terminal"


@dataclass(frozen=True, slots=True)
class Topic:
    """One channel. `expiry` is the message expiry interval in seconds, 0 for none."""

    address: str
    publisher: str
    qos: int
    retain: bool
    expiry: int

    def of(self, terminal: str = "") -> str:
        """The topic name for `terminal`."""
        return self.address.format(terminal=terminal)

    @property
    def filter(self) -> str:
        """The topic filter over all terminals."""
        return self.address.format(terminal="+")

    @property
    def shared_filter(self) -> str:
        """The filter by which the issuer's workers share the messages (MQTT 5, 4.8.2)."""
        return f"$share/{ISSUER}/{self.filter}"

    def terminal(self, name: str) -> str:
        """The terminal that the topic name `name` belongs to; "" when it is not of this channel."""
        before, _, after = self.address.partition("{terminal}")
        fits = name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after)
        found = name[len(before) : len(name) - len(after)] if fits else ""
        return "" if "/" in found else found


EPOCH = Topic(f"{ROOT}/epoch", ISSUER, qos=1, retain=True, expiry=0)
REQUEST = Topic(f"{ROOT}/terminals/{{terminal}}/request", TERMINAL, qos=1, retain=False, expiry=30)
DECISION = Topic(f"{ROOT}/terminals/{{terminal}}/decision", ISSUER, qos=1, retain=False, expiry=30)
STATUS = Topic(f"{ROOT}/terminals/{{terminal}}/status", TERMINAL, qos=1, retain=True, expiry=0)
EVENT = Topic(f"{ROOT}/terminals/{{terminal}}/event", TERMINAL, qos=1, retain=False, expiry=0)
RECEIPT = Topic(f"{ROOT}/terminals/{{terminal}}/receipt", ISSUER, qos=1, retain=False, expiry=0)
CONFIGURATION = Topic(f"{ROOT}/terminals/{{terminal}}/configuration", ISSUER, qos=1, retain=True, expiry=0)
COMMAND = Topic(f"{ROOT}/terminals/{{terminal}}/command", ISSUER, qos=1, retain=False, expiry=60)
BUNDLE = Topic(f"{ROOT}/terminals/{{terminal}}/bundle", ISSUER, qos=1, retain=True, expiry=0)
FETCH = Topic(f"{ROOT}/terminals/{{terminal}}/fetch", TERMINAL, qos=1, retain=False, expiry=30)
CHUNK = Topic(f"{ROOT}/terminals/{{terminal}}/chunk", ISSUER, qos=1, retain=False, expiry=30)

ALL = (EPOCH, REQUEST, DECISION, STATUS, EVENT, RECEIPT, CONFIGURATION, COMMAND, BUNDLE, FETCH, CHUNK)

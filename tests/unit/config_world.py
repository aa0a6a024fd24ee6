"""A terminal's own settings file, an authority, and documents of it, for the tests of remote configuration."""

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from agent.configuration import signing
from agent.configuration.store import ConfigurationStore
from agent.wire import configuration
from agent.wire.keys import KeyRing, SoftwareSigner

TERMINAL = "t-0001"
OWN = """
[terminal]
relying_party = "Grand Hotel"
state = "state"
[[readers]]
type = "pcsc"
[camera]
type = "v4l2"
[broker]
urls = ["mqtts://127.0.0.1:8883"]
[deadlines]
document = 15.0
"""


def new_signer() -> SoftwareSigner:
    return SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))


@dataclass
class ConfigWorld:
    folder: Path
    authority: SoftwareSigner = field(default_factory=new_signer)

    def __post_init__(self) -> None:
        if not self.own.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.own.write_text(OWN, "utf-8")
            trust = self.folder / "identity" / "trust"
            trust.mkdir(parents=True)
            (trust / signing.AUTHORITY).write_bytes(signing.public_pem(self.authority.public_key))

    @property
    def own(self) -> Path:
        return self.folder / "renzheng.toml"

    def store(self) -> ConfigurationStore:
        return ConfigurationStore(self.folder / "state", self.own, KeyRing([self.authority.public_key]))

    def signed(
        self,
        number: int,
        settings: str = "[deadlines]\nface = 12.0\n",
        *,
        target: str = f"terminal:{TERMINAL}",
        valid_from: int = 0,
        signer: SoftwareSigner | None = None,
    ) -> bytes:
        document = signing.unsigned_document(settings, number=number, target=target, valid_from=valid_from)
        return configuration.sign_document(document, signer or self.authority)

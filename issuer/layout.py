"""Where the issuer keeps its things, below one folder (mode 0700)."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one deployment."""

    root: Path

    @property
    def policy(self) -> Path:
        """The issuer's name and policy."""
        return self.root / "issuer.toml"

    @property
    def database(self) -> Path:
        """The default SQLite file."""
        return self.root / "issuer.db"

    @property
    def broker(self) -> Path:
        """Configuration, certificate and store of the broker."""
        return self.root / "broker"

    def authority(self, name: str) -> Path:
        """The authority `evidence` or `transport`, without suffix."""
        return self.root / "authority" / name

    def key(self, name: str) -> Path:
        """The issuer's key `signing`, `sealing` or `provisioning`, without suffix."""
        return self.root / "keys" / name

    @property
    def workers(self) -> tuple[str, ...]:
        """The names of the issuer's clients at the broker: `issuer`, and those added for more workers."""
        return tuple(sorted(path.stem for path in (self.root / "keys" / "mqtt").glob("*.pem")))

    def worker(self, name: str) -> Path:
        """The TLS key of a worker, without suffix."""
        return self.root / "keys" / "mqtt" / name

    @property
    def site_settings(self) -> Path:
        """What terminals are told of the site when they enrol."""
        return self.root / "site" / "settings.toml"

    @property
    def site_documents(self) -> Path:
        """CSCA certificates, master lists and CRLs that terminals are given when they enrol."""
        return self.root / "site" / "documents"

    def terminal(self, terminal: str) -> Path:
        """The device folder made for a terminal."""
        return self.root / "terminals" / terminal

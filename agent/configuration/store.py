"""The settings in force: the terminal's own file, with the newest committed document of the authority laid over it.

    store = ConfigurationStore(state / "configuration", path_of_own_file, authority)
    in_force = store.boot()          # once, at the start of the process; settles what a power cut left unfinished
    in_force.settings, in_force.number, in_force.digest, in_force.trial

Documents are kept as they were signed and verified again at every boot: nobody configures the terminal by writing to
its disk. When the active document cannot be loaded, the last good one takes its place; then the terminal's own file.
"""

import hashlib
import logging
import tomllib
from dataclasses import dataclass
from pathlib import Path

from agent import durable
from agent.configuration import signing
from agent.configuration.load import MAX_SETTINGS_BYTES, load
from agent.configuration.schema import Settings
from agent.configuration.signing import Document
from agent.configuration.store_journal import Journal, Phase, Revision, State
from agent.failures import RenzhengError
from agent.wire.configuration import DOCUMENT_LIMIT
from agent.wire.keys import KeyRing

_LOG = logging.getLogger(__name__)

UNUSABLE = "configuration.unusable"


@dataclass(frozen=True, slots=True)
class InForce:
    """Settings and what names them; number 0 is the terminal's own file."""

    settings: Settings
    number: int
    #: SHA-256 of the signed document, or of the terminal's own file.
    digest: bytes
    #: On trial: `RemoteConfiguration` will commit it or roll it back.
    trial: bool = False


class ConfigurationStore:
    """Documents and journal in `folder`, over the terminal's own file at `base`."""

    def __init__(self, folder: Path, base: Path, authority: KeyRing) -> None:
        self.folder = folder
        self._documents = folder / "documents"
        self._base = base
        self.authority = authority
        self.journal = Journal(folder / "journal.json")

    def boot(self) -> InForce:
        """What is to be in force in this process. Never fails for want of a document, a journal or room on the disk.

        Raises:
            RenzhengError: `settings.invalid`; the terminal's own file cannot be used.
        """
        # First: a mistake in it speaks against no document that is laid over it.
        load(self._base)
        state = self.journal.boot(self._highest)
        if state.phase is Phase.APPLYING and state.candidate is not None:
            try:
                return self._in_force(state.candidate, trial=True)
            except RenzhengError as error:
                _LOG.error("the configuration on trial cannot be loaded: %s", error)
                self.journal.abandoned(UNUSABLE)
        return self._last_good(state)

    def active(self) -> InForce:
        """What is in force now, as the journal says; changes nothing.

        Raises:
            RenzhengError: it cannot be loaded.
        """
        state = self.journal.read()
        on_trial = state.phase in {Phase.APPLYING, Phase.VERIFYING, Phase.PROBATION} and state.candidate is not None
        revision = state.candidate if on_trial else state.active
        return self._own_file() if revision is None else self._in_force(revision, trial=on_trial)

    def keep(self, document: Document) -> Revision:
        """Store a verified document durably and forget those that nobody needs any more.

        Raises:
            RenzhengError: `configuration.disk`.
        """
        revision = Revision(number=document.number, digest=document.digest.hex())
        state = self.journal.read()
        needed = {self._path(each) for each in (state.active, state.previous, revision) if each is not None}
        try:
            for path in self._documents.glob("*.cose"):
                if path not in needed:
                    path.unlink()
            durable.write(self._path(revision), document.signed)
        except OSError as error:
            raise RenzhengError("configuration.disk", f"{self._documents}: {error.strerror or error}") from error
        return revision

    def document(self, revision: Revision) -> Document:
        """A stored document, verified again.

        Raises:
            RenzhengError: `configuration.unusable`; it is gone, changed, or not this software's any more.
        """
        try:
            signed = durable.read(self._path(revision), limit=DOCUMENT_LIMIT)
        except OSError as error:
            raise RenzhengError(UNUSABLE, f"document {revision.number} cannot be read: {error}") from error
        if signed is None or hashlib.sha256(signed).hexdigest() != revision.digest:
            raise RenzhengError(UNUSABLE, f"document {revision.number} is gone or was changed")
        return signing.open_document(signed, self.authority)

    def settings_with(self, document: Document) -> Settings:
        """The settings with `document` in force.

        Raises:
            RenzhengError: `configuration.invalid`, or `settings.invalid` for the terminal's own file.
        """
        return signing.laid_over(
            self._own_tables(),
            document,
            source=f"configuration {document.number}",
            folder=self._base.parent,
        )

    def _last_good(self, state: State) -> InForce:
        for revision in (state.active, state.previous):
            if revision is None:
                continue
            try:
                in_force = self._in_force(revision)
            except RenzhengError as error:
                _LOG.error("configuration %d cannot be loaded: %s", revision.number, error)
                continue
            if revision is state.previous:
                self.journal.fell_back(revision, UNUSABLE)
            return in_force
        if state.active is not None:
            self.journal.fell_back(None, UNUSABLE)
        return self._own_file()

    def _highest(self) -> int:
        """The highest number among the stored documents."""
        numbers = [int(path.name.partition("-")[0]) for path in self._documents.glob("[0-9]*-*.cose")]
        return max(numbers, default=0)

    def _in_force(self, revision: Revision, *, trial: bool = False) -> InForce:
        document = self.document(revision)
        return InForce(self.settings_with(document), document.number, document.digest, trial)

    def _own_file(self) -> InForce:
        return InForce(load(self._base), 0, hashlib.sha256(self._own_bytes()).digest())

    def _own_tables(self) -> dict[str, object]:
        # `load` names what is wrong with the file better than anything here could.
        load(self._base)
        return tomllib.loads(self._own_bytes().decode())

    def _own_bytes(self) -> bytes:
        return durable.read(self._base, limit=MAX_SETTINGS_BYTES) or b""

    def _path(self, revision: Revision) -> Path:
        return self._documents / f"{revision.number}-{revision.digest[:16]}.cose"


def open_store(base: Path) -> ConfigurationStore:
    """The store of the terminal whose own settings file is `base`: state and pinned authority are where it says.

    Raises:
        RenzhengError: `settings.invalid`, `configuration.authority`.
    """
    settings = load(base)
    authority = signing.load_authority(settings.identity.folder / "trust" / signing.AUTHORITY)
    return ConfigurationStore(settings.terminal.state / "configuration", base, authority)

"""Where a change stands, written down before each act, so that a power cut at any moment leaves a way forward or back.

    settled -> prepared -> applying -> verifying -> probation -> settled          (commit: the point of no return)
                   any of them -> rolling_back -> settled                         (the old one stays)

One small JSON file, replaced whole. What `boot` makes of each phase: prepared is dropped; applying is given one trial
(an application may restart in order to apply); verifying and probation end in a roll-back, since whatever ended the
process may have been the candidate's doing; rolling_back is finished.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from agent import durable
from agent.failures import RenzhengError

_LOG = logging.getLogger(__name__)

LIMIT = 256 * 1024
_HISTORY = 100
#: How often a candidate may be tried again that was only ever cut short, never found wanting.
MAX_ATTEMPTS = 3

INTERRUPTED = "configuration.interrupted"
LOST = "configuration.journal"
DISK = "configuration.disk"


class Phase(StrEnum):
    """Where a change stands."""

    SETTLED = "settled"
    PREPARED = "prepared"
    APPLYING = "applying"
    VERIFYING = "verifying"
    PROBATION = "probation"
    ROLLING_BACK = "rolling_back"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Revision(_Record):
    """One document or bundle: its number and the SHA-256 (hex) of its signed form."""

    number: int
    digest: str


class Step(_Record):
    """One line of the history. `at` is this machine's clock, in seconds since 1970."""

    at: int
    revision: Revision
    state: Literal["refused", "trial", "committed", "rolled_back", "fallen_back"]
    reason: str = ""


class Failed(_Record):
    """A candidate that was rolled back, and how often."""

    revision: Revision
    attempts: int
    reason: str


class State(_Record):
    """The whole journal."""

    format: Literal[1] = 1
    phase: Phase = Phase.SETTLED
    active: Revision | None = None
    previous: Revision | None = None
    candidate: Revision | None = None
    #: Boots with the candidate since it was applied.
    trials: int = 0
    #: Why it is being rolled back.
    reason: str = ""
    #: The highest number ever taken: what is older is refused for good.
    highest: int = 0
    failed: tuple[Failed, ...] = ()
    history: tuple[Step, ...] = ()
    #: Steps at the end of the history that the issuer has not been told yet.
    untold: int = 0


class Journal:
    """The journal at `path`. Every method reads it anew and returns when the change is on the disk."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock

    def read(self) -> State:
        """The state now.

        Raises:
            RenzhengError: `configuration.journal`; the file cannot be read.
        """
        try:
            content = durable.read(self._path, limit=LIMIT)
            return State() if content is None else State.model_validate_json(content)
        except (OSError, ValidationError) as error:
            raise RenzhengError(LOST, f"{self._path} cannot be used") from error

    def refused(self, revision: Revision, reason: str) -> None:
        """A document was refused; nothing changed. The same refusal again is not noted twice."""
        with self._changing() as state:
            last = state.history[-1] if state.history else None
            if last is None or (last.revision, last.state, last.reason) != (revision, "refused", reason):
                self._write(self._noted(state, revision, "refused", reason))

    def prepared(self, candidate: Revision) -> None:
        """The candidate is stored and valid."""
        with self._changing() as state:
            self._write(
                state.model_copy(
                    update={
                        "phase": Phase.PREPARED,
                        "candidate": candidate,
                        "trials": 0,
                        "highest": max(state.highest, candidate.number),
                    }
                )
            )

    def moved(self, phase: Phase) -> None:
        """The next act is about to begin."""
        with self._changing() as state:
            self._write(state.model_copy(update={"phase": phase}))

    def committed(self) -> None:
        """The candidate is the active one for good."""
        with self._changing() as state:
            assert state.candidate is not None  # noqa: S101 - the phases lead here with one only
            done = state.model_copy(
                update={
                    "phase": Phase.SETTLED,
                    "active": state.candidate,
                    "previous": state.active,
                    "candidate": None,
                    "trials": 0,
                }
            )
            self._write(self._noted(done, state.candidate, "committed"))

    def rolling_back(self, reason: str) -> None:
        """The old one is about to be put in force again."""
        with self._changing() as state:
            self._write(state.model_copy(update={"phase": Phase.ROLLING_BACK, "reason": reason}))

    def rolled_back(self) -> None:
        """The old one is in force again."""
        with self._changing() as state:
            self._write(self._without_candidate(state, state.reason))

    def boot(self, highest: Callable[[], int]) -> State:
        """Settle what the last process left unfinished, and say what is to be in force. Never fails.

        A full disk only keeps it from being noted. A journal that cannot be read is set aside; the new one begins at
        `highest()`, the highest number that is still known, so that losing a journal lets no old document in.
        """
        try:
            return self._settled()
        except RenzhengError as error:
            _LOG.error("the journal: %s", error)
            lost = error.code == LOST
        if not lost:
            return self.read().model_copy(update={"phase": Phase.SETTLED, "candidate": None})
        fresh = State(highest=highest())
        try:
            self._path.rename(self._path.with_suffix(".damaged"))
            self._write(fresh)
        except (RenzhengError, OSError) as error:
            _LOG.error("no new journal could be begun: %s", error)
        return fresh

    def abandoned(self, reason: str) -> None:
        """The candidate on trial cannot even be loaded: the old one stays. For `boot`: a full disk is only told."""
        self._noting(lambda: self.rolling_back(reason), self.rolled_back)

    def fell_back(self, to: Revision | None, reason: str) -> None:
        """The active one cannot be loaded: `to`, the last good one (None: the terminal's own), takes its place.

        For `boot`: a full disk is only told.
        """
        self._noting(lambda: self._fall(to, reason))

    def _settled(self) -> State:
        with self._changing() as state:
            if state.phase is Phase.APPLYING and state.trials == 0:
                assert state.candidate is not None  # noqa: S101 - as above
                trial = state.model_copy(update={"trials": 1})
                self._write(self._noted(trial, state.candidate, "trial"))
            elif state.phase is Phase.ROLLING_BACK:
                self._write(self._without_candidate(state, state.reason))
            elif state.phase is not Phase.SETTLED:
                self._write(self._without_candidate(state, INTERRUPTED))
        return self.read()

    def _noting(self, *changes: Callable[[], None]) -> None:
        try:
            for change in changes:
                change()
        except RenzhengError as error:
            _LOG.error("the journal: %s", error)

    def _fall(self, to: Revision | None, reason: str) -> None:
        with self._changing() as state:
            assert state.active is not None  # noqa: S101 - only an active one can fail to load
            noted = self._noted(state, state.active, "fallen_back", reason)
            failed = _failed(noted.failed, state.active, reason)
            self._write(noted.model_copy(update={"active": to, "previous": None, "failed": failed}))

    def back_to_previous(self, reason: str) -> State:
        """Make the previous one (None: the terminal's own file) the active one, for the next boot.

        Raises:
            RenzhengError: `configuration.nothing_to_roll_back`; nothing to go back from, or a change is under way.
        """
        with self._changing() as state:
            if state.active is None or state.phase is not Phase.SETTLED:
                raise RenzhengError("configuration.nothing_to_roll_back", "no committed configuration to go back from")
            noted = self._noted(state, state.active, "rolled_back", reason)
            failed = _failed(noted.failed, state.active, reason)
            self._write(noted.model_copy(update={"active": state.previous, "previous": None, "failed": failed}))
        return self.read()

    def told(self, steps: int) -> None:
        """The oldest `steps` untold steps of the history are on their way to the issuer."""
        with self._changing() as state:
            self._write(state.model_copy(update={"untold": max(0, state.untold - steps)}))

    def _without_candidate(self, state: State, reason: str) -> State:
        assert state.candidate is not None  # noqa: S101 - as above
        noted = self._noted(state, state.candidate, "rolled_back", reason)
        failed = _failed(state.failed, state.candidate, reason)
        return noted.model_copy(
            update={"phase": Phase.SETTLED, "candidate": None, "trials": 0, "reason": "", "failed": failed}
        )

    def _noted(
        self,
        state: State,
        revision: Revision,
        what: Literal["refused", "trial", "committed", "rolled_back", "fallen_back"],
        reason: str = "",
    ) -> State:
        step = Step(at=int(self._clock()), revision=revision, state=what, reason=reason)
        history = (*state.history, step)[-_HISTORY:]
        return state.model_copy(update={"history": history, "untold": min(state.untold + 1, len(history))})

    @contextmanager
    def _changing(self) -> Iterator[State]:
        """The state, while no other process (the daemon, the command line) changes it."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.fdopen(durable.create(self._path.with_name(f".{self._path.name}.lock")), "w")
        except OSError as error:
            raise RenzhengError(DISK, f"{self._path.parent}: {error.strerror}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.read()

    def _write(self, state: State) -> None:
        try:
            durable.write(self._path, state.model_dump_json(indent=1).encode())
        except OSError as error:
            raise RenzhengError(DISK, f"{self._path}: {error.strerror or error}") from error


def attempts_left(state: State, revision: Revision) -> bool:
    """Whether `revision` may be tried (again): it never failed, or was only cut short, and not too often."""
    for failed in state.failed:
        if failed.revision == revision:
            return failed.reason == INTERRUPTED and failed.attempts < MAX_ATTEMPTS
    return True


def admit(state: State, revision: Revision) -> bool:
    """Whether an authentic candidate for this terminal is to be tried; False when it is in force already.

    Raises:
        RenzhengError: `configuration.older` or `configuration.failed_before`.
    """
    if revision == state.active:
        return False
    if not attempts_left(state, revision):
        raise RenzhengError("configuration.failed_before", f"number {revision.number} was rolled back")
    again = any(failed.revision == revision for failed in state.failed)
    if revision.number < state.highest or (revision.number == state.highest and not again):
        raise RenzhengError("configuration.older", f"number {revision.number}; {state.highest} was taken before")
    return True


def _failed(entries: tuple[Failed, ...], revision: Revision, reason: str) -> tuple[Failed, ...]:
    attempts = next((entry.attempts for entry in entries if entry.revision == revision), 0) + 1
    others = [entry for entry in entries if entry.revision != revision]
    return (*others, Failed(revision=revision, attempts=attempts, reason=reason))[-16:]

"""A change is committed when it works, rolled back when it does not, and a power cut leaves a working terminal."""

import asyncio
import errno
from pathlib import Path

import pytest

from agent import durable
from agent.configuration import signing
from agent.configuration.remote_trial import Acts, Trial
from agent.configuration.store import ConfigurationStore, InForce
from agent.configuration.store_journal import MAX_ATTEMPTS, Phase, Revision, attempts_left
from agent.failures import RenzhengError
from tests.unit.config_world import ConfigWorld


@pytest.fixture
def world(tmp_path: Path) -> ConfigWorld:
    return ConfigWorld(tmp_path)


def kept(store: ConfigurationStore, signed: bytes) -> Revision:
    return store.keep(signing.open_document(signed, store.authority))


class App:
    """An application that notes what it was asked to put in force, and fails where it is told to."""

    def __init__(self, *, fail: str = "", hang: str = "") -> None:
        self.applied: list[int] = []
        self._fail = fail
        self._hang = hang

    def acts(self, probation: float = 5.0) -> Acts:
        async def act(name: str) -> None:
            if name == self._hang:
                await asyncio.Event().wait()
            if name == self._fail:
                self._fail = ""
                raise RenzhengError("camera.gone", "told to fail")

        async def apply(revision: Revision | None) -> None:
            self.applied.append(revision.number if revision else 0)
            await act("apply")

        return Acts(apply, lambda: act("verify"), lambda: act("reachable"), probation)


async def trial(world: ConfigWorld, number: int, app: App, probation: float = 5.0) -> InForce:
    store = world.store()
    await Trial(store.journal, app.acts(probation)).start(kept(store, world.signed(number)))
    return store.active()


async def test_what_works_is_committed(world: ConfigWorld) -> None:
    app = App()
    in_force = await trial(world, 3, app)
    assert (in_force.number, in_force.settings.deadlines.face, in_force.trial) == (3, 12.0, False)
    assert app.applied == [3]
    assert world.store().boot().number == 3


@pytest.mark.parametrize("phase", ["apply", "verify", "reachable"])
async def test_what_fails_is_rolled_back_with_its_reason(world: ConfigWorld, phase: str) -> None:
    await trial(world, 1, App())
    app = App(fail=phase)
    in_force = await trial(world, 2, app)
    assert in_force.number == 1
    assert app.applied == [2, 1]
    state = world.store().journal.read()
    assert (state.history[-1].state, state.history[-1].reason) == ("rolled_back", "camera.gone")
    assert not attempts_left(state, Revision(number=2, digest=state.failed[-1].revision.digest))


@pytest.mark.parametrize(
    ("phase", "reason"), [("verify", "configuration.self_test"), ("reachable", "configuration.broker_lost")]
)
async def test_what_loses_the_broker_or_hangs_is_rolled_back_by_itself(
    world: ConfigWorld, phase: str, reason: str
) -> None:
    in_force = await trial(world, 1, App(hang=phase), probation=0.05)
    assert in_force.number == 0
    assert world.store().journal.read().history[-1].reason == reason


class TestAfterAPowerCut:
    def at(self, world: ConfigWorld, phase: Phase, signed: bytes = b"") -> ConfigurationStore:
        store = world.store()
        store.journal.prepared(kept(store, signed or world.signed(5)))
        if phase is not Phase.PREPARED:
            store.journal.moved(Phase.APPLYING)
        if phase not in {Phase.PREPARED, Phase.APPLYING}:
            store.journal.moved(phase)
        return world.store()

    @pytest.mark.parametrize("phase", [Phase.PREPARED, Phase.VERIFYING, Phase.PROBATION])
    def test_the_old_one_is_in_force_and_the_new_one_may_be_tried_again(self, world: ConfigWorld, phase: Phase) -> None:
        store = self.at(world, phase)
        assert store.boot().number == 0
        state = store.journal.read()
        assert (state.phase, state.candidate) == (Phase.SETTLED, None)
        assert attempts_left(state, state.failed[-1].revision)

    def test_an_applied_one_gets_one_boot_on_trial_and_no_second(self, world: ConfigWorld) -> None:
        store = self.at(world, Phase.APPLYING)
        assert (store.boot().number, store.active().trial) == (5, True)
        assert (world.store().boot().number, store.active().trial) == (0, False)

    async def test_the_trial_goes_on_after_the_restart_that_applied_it(self, world: ConfigWorld) -> None:
        store = self.at(world, Phase.APPLYING)
        store.boot()
        app = App()
        await Trial(store.journal, app.acts()).resume()
        assert app.applied == []
        assert (world.store().boot().number, store.journal.read().phase) == (5, Phase.SETTLED)

    def test_a_begun_roll_back_is_finished(self, world: ConfigWorld) -> None:
        store = self.at(world, Phase.VERIFYING)
        store.journal.rolling_back("camera.gone")
        assert world.store().boot().number == 0
        assert store.journal.read().history[-1].reason == "camera.gone"

    def test_being_cut_short_is_forgiven_only_so_often(self, world: ConfigWorld) -> None:
        signed = world.signed(5)
        for attempt in range(MAX_ATTEMPTS):
            store = self.at(world, Phase.PROBATION, signed)
            store.boot()
            state = store.journal.read()
            assert attempts_left(state, state.failed[-1].revision) == (attempt + 1 < MAX_ATTEMPTS)


class TestLastGood:
    async def committed(self, world: ConfigWorld, *numbers: int) -> None:
        for number in numbers:
            await trial(world, number, App())

    def spoil(self, world: ConfigWorld, number: int) -> None:
        (path,) = (world.folder / "state" / "documents").glob(f"{number}-*.cose")
        path.write_bytes(path.read_bytes()[:-1] + b"\0")

    async def test_it_takes_the_place_of_one_that_cannot_be_loaded(self, world: ConfigWorld) -> None:
        await self.committed(world, 1, 2)
        self.spoil(world, 2)
        assert world.store().boot().number == 1
        step = world.store().journal.read().history[-1]
        assert (step.state, step.reason, step.revision.number) == ("fallen_back", "configuration.unusable", 2)
        assert world.store().boot().number == 1

    async def test_the_own_file_is_the_last_resort(self, world: ConfigWorld) -> None:
        await self.committed(world, 1, 2)
        self.spoil(world, 1)
        self.spoil(world, 2)
        assert world.store().boot().number == 0

    async def test_a_document_that_the_own_file_no_longer_carries_is_left(self, world: ConfigWorld) -> None:
        await self.committed(world, 1)
        world.own.write_text(world.own.read_text().replace("[deadlines]", "[kiosk]\nport = 9000\n[deadlines]"))
        assert world.store().boot().number == 1
        world.authority = type(world.authority)(ConfigWorld(world.folder / "other").authority.private_key)
        assert world.store().boot().number == 0, "the authority was changed: its old documents no longer count"

    async def test_a_lost_journal_never_lets_an_older_document_in(self, world: ConfigWorld) -> None:
        await self.committed(world, 7)
        (world.folder / "state" / "journal.json").write_text("{")
        assert world.store().boot().number == 0
        assert world.store().journal.read().highest == 7

    async def test_an_operator_goes_back_one_step_and_no_further(self, world: ConfigWorld) -> None:
        await self.committed(world, 1, 2)
        journal = world.store().journal
        journal.back_to_previous("configuration.rolled_back")
        assert world.store().boot().number == 1
        journal.back_to_previous("configuration.rolled_back")
        assert world.store().boot().number == 0
        with pytest.raises(RenzhengError) as error:
            journal.back_to_previous("configuration.rolled_back")
        assert error.value.code == "configuration.nothing_to_roll_back"


class TestWithoutRoomOnTheDisk:
    @pytest.fixture(autouse=True)
    def full(self, monkeypatch: pytest.MonkeyPatch, world: ConfigWorld) -> None:
        """Every write into the state folder fails as on a full disk, once the test says so."""

        def write(path: Path, content: bytes) -> None:
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            real_write(path, content)

        self.is_full = False
        real_write = durable.write
        monkeypatch.setattr(durable, "write", write)

    @pytest.mark.parametrize("phase", [Phase.PREPARED, Phase.APPLYING, Phase.PROBATION, Phase.ROLLING_BACK])
    async def test_a_terminal_starts_on_the_last_good_configuration(self, world: ConfigWorld, phase: Phase) -> None:
        await trial(world, 1, App())
        store = world.store()
        store.journal.prepared(kept(store, world.signed(5)))
        store.journal.moved(phase)
        self.is_full = True
        assert world.store().boot().number == 1
        self.is_full = False
        assert world.store().boot().number in {1, 5}

    async def test_a_lost_journal_and_a_damaged_document_do_not_stop_it_either(self, world: ConfigWorld) -> None:
        await trial(world, 1, App())
        (world.folder / "state" / "journal.json").write_text("{")
        self.is_full = True
        assert world.store().boot().number == 0

    async def test_a_new_document_is_not_begun(self, world: ConfigWorld) -> None:
        await trial(world, 1, App())
        self.is_full = True
        with pytest.raises(RenzhengError) as error:
            await trial(world, 2, App())
        assert error.value.code == "configuration.disk"
        self.is_full = False
        assert world.store().active().number == 1


@pytest.mark.parametrize("applying", [False, True])
async def test_a_mistake_in_the_own_file_costs_no_document(world: ConfigWorld, applying: bool) -> None:
    await trial(world, 1, App())
    if applying:
        store = world.store()
        store.journal.prepared(kept(store, world.signed(2)))
        store.journal.moved(Phase.APPLYING)
    before = world.store().journal.read()
    own = world.own.read_text("utf-8")
    world.own.write_text(own + "[deadlines\n", "utf-8")
    with pytest.raises(RenzhengError) as failed:
        world.store().boot()
    assert failed.value.code == "settings.invalid"
    assert world.store().journal.read() == before
    world.own.write_text(own, "utf-8")
    assert world.store().boot().number == (2 if applying else 1)

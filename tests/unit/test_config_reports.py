"""A report is told once, waits when it cannot be told, and never undoes what it reports."""

from pathlib import Path

import pytest

from agent.configuration import signing
from agent.configuration.remote import report_untold
from agent.configuration.remote_intake import Intake
from agent.configuration.remote_trial import Acts, Trial
from agent.configuration.store import ConfigurationStore
from agent.configuration.store_journal import Revision
from agent.failures import RenzhengError
from agent.transport.mqtt import MqttLink, Tls
from agent.transport.outbox import Limits, Outbox
from agent.wire.configuration import REPORT, ChangeReport
from tests.unit.config_world import ConfigWorld


async def _nothing(_revision: Revision | None = None) -> None:
    return None


@pytest.fixture
async def store(tmp_path: Path) -> ConfigurationStore:
    world = ConfigWorld(tmp_path)
    store = world.store()
    revision = store.keep(signing.open_document(world.signed(3), store.authority))
    await Trial(store.journal, Acts(_nothing, _nothing, _nothing)).start(revision)
    return store


async def reports(outbox: Outbox) -> list[ChangeReport]:
    entries = await outbox.pending(100, 100_000)
    assert {entry.kind for entry in entries} <= {REPORT}
    return [ChangeReport.decode(entry.payload, limit=4096) for entry in entries]


async def test_a_report_that_cannot_be_written_waits_and_undoes_nothing(
    store: ConfigurationStore, tmp_path: Path
) -> None:
    full = Outbox(tmp_path / "full.db", bytes(32), Limits(rows=0))
    await report_untold(store.journal, full, "configuration")
    await full.close()
    assert store.boot().number == 3
    outbox = Outbox(tmp_path / "outbox.db", bytes(32))
    await report_untold(store.journal, outbox, "configuration")
    (report,) = await reports(outbox)
    assert (report.number, report.state, report.active) == (3, "committed", 3)
    await outbox.close()


async def test_a_power_cut_between_report_and_note_makes_no_second_report(
    store: ConfigurationStore, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path / "outbox.db", bytes(32))
    before = (tmp_path / "state" / "journal.json").read_bytes()
    await report_untold(store.journal, outbox, "configuration")
    assert store.journal.read().untold == 0
    (tmp_path / "state" / "journal.json").write_bytes(before)
    await report_untold(store.journal, outbox, "configuration")
    assert len(await reports(outbox)) == 1
    await outbox.close()


def test_refusals_that_come_again_and_again_do_not_fill_the_disk(store: ConfigurationStore, tmp_path: Path) -> None:
    link = MqttLink(client_id="lobby", brokers=["mqtts://localhost"], tls=Tls(tmp_path, tmp_path, tmp_path))
    intake = Intake(link, "configuration", store.journal, lambda: None)
    old = [Revision(number=number, digest=f"{number:064x}") for number in (0, 1, 2)]
    before = len(store.journal.read().history)
    for _ in range(20):
        for revision in old:
            intake.refuse(revision, RenzhengError("configuration.older", "told to be"))
    assert len(store.journal.read().history) == before + len(old)

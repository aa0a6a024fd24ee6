"""The outbox keeps what it was given, gives way as it says, and survives damage and a full disk."""

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from agent.failures import RenzhengError
from agent.transport.outbox import recovery
from agent.transport.outbox.entry import Entry, Limits, Priority
from agent.transport.outbox.keeper import LOSSES, SET_ASIDE, Keeper
from agent.transport.outbox.store import Store
from agent.transport.outbox.vault import UnreadableError, Vault
from agent.wire import bounded

KEY = bytes(range(32))
NOW = 1_800_000_000


def entry(number: int, priority: Priority = Priority.REPORT, *, size: int = 20, expires: int | None = None) -> Entry:
    return Entry(number.to_bytes(16, "big"), "test", number.to_bytes(4, "big") * (size // 4), priority, NOW, expires)


def keeper(path: Path, *, rows: int = 100, size: int = 1_000_000, key: bytes = KEY, clock: int | None = NOW) -> Keeper:
    return Keeper(path, Vault(key), Limits(rows, size), lambda: clock)


def numbers(entries: list[Entry]) -> list[int]:
    return [int.from_bytes(item.event_id, "big") for item in entries if item.kind == "test"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox" / "outbox.db"


def test_what_was_put_is_there_after_reopening(path: Path) -> None:
    first = keeper(path)
    assert first.put([entry(1), entry(2)]) == [None, None]
    first.close()
    assert keeper(path).pending(10, 10_000) == [entry(1), entry(2)]


def test_the_higher_class_goes_first_then_the_older(path: Path) -> None:
    box = keeper(path)
    box.put(
        [entry(1, Priority.PROGRESS), entry(2, Priority.AUDIT), entry(3, Priority.RESULT), entry(4, Priority.AUDIT)]
    )
    assert numbers(box.pending(10, 10_000)) == [2, 4, 3, 1]


def test_the_same_identifier_is_one_entry(path: Path) -> None:
    box = keeper(path)
    box.put([entry(1), entry(1)])
    box.put([entry(1)])
    assert box.fill().rows == 1


def test_a_batch_keeps_to_its_size_but_a_large_entry_still_goes(path: Path) -> None:
    box = keeper(path)
    box.put([entry(1, size=400), entry(2, size=400), entry(3, size=400)])
    assert numbers(box.pending(10, 900)) == [1, 2]
    assert numbers(box.pending(10, 100)) == [1]
    assert numbers(box.pending(2, 10_000)) == [1, 2]


def test_only_what_a_receipt_names_is_removed(path: Path) -> None:
    box = keeper(path)
    box.put([entry(1), entry(2)])
    assert box.remove([entry(1).event_id, entry(9).event_id]) == 1
    assert numbers(box.pending(10, 10_000)) == [2]
    assert box.fill().size < 200


class TestWhenThereIsNoRoom:
    def test_lower_classes_give_way_lowest_and_oldest_first(self, path: Path) -> None:
        box = keeper(path, rows=3)
        box.put([entry(1), entry(2, Priority.PROGRESS), entry(3, Priority.PROGRESS)])
        assert box.put([entry(4, Priority.AUDIT), entry(5, Priority.AUDIT)]) == [None, None]
        assert numbers(box.pending(10, 10_000)) == [4, 5, 1]

    def test_a_newer_report_displaces_the_oldest_of_its_class(self, path: Path) -> None:
        box = keeper(path, rows=2)
        box.put([entry(1), entry(2), entry(3)])
        assert numbers(box.pending(10, 10_000)) == [2, 3]

    def test_an_audit_record_is_never_displaced_and_the_caller_is_told(self, path: Path) -> None:
        box = keeper(path, rows=2)
        box.put([entry(1, Priority.AUDIT), entry(2, Priority.AUDIT)])
        for refused in (entry(3, Priority.AUDIT), entry(4, Priority.PROGRESS)):
            (outcome,) = box.put([refused])
            assert isinstance(outcome, RenzhengError)
            assert outcome.code == "outbox.full"
        assert numbers(box.pending(10, 10_000)) == [1, 2]
        assert box.fill().lost == 0, "what was refused was never held"

    def test_the_cap_on_bytes_holds_as_well(self, path: Path) -> None:
        box = keeper(path, size=5_000)
        for number in range(20):
            box.put([entry(number, size=1000)])
            assert box.fill().size <= 5_000
        assert numbers(box.pending(10, 100_000)) == [16, 17, 18, 19]

    def test_a_loss_is_told_in_an_event_of_its_own(self, path: Path) -> None:
        box = keeper(path, rows=2)
        box.put([entry(number) for number in range(5)])
        assert box.fill().lost == 3
        told = [item for item in box.pending(10, 10_000) if item.kind == LOSSES]
        assert [bounded.decode(item.payload, limit=1000) for item in told] == [{"displaced": 3}]
        assert box.fill().lost == 0


class TestExpiry:
    def test_what_has_expired_is_not_sent_and_counted(self, path: Path) -> None:
        box = keeper(path)
        box.put([entry(1, expires=NOW - 1), entry(2, expires=NOW + 1), entry(3)])
        found = box.pending(10, 10_000)
        assert numbers(found) == [2, 3]
        assert bounded.decode(found[0].payload, limit=100) == {"expired": 1}

    def test_without_a_trusted_clock_nothing_expires(self, path: Path) -> None:
        box = keeper(path, clock=None)
        box.put([entry(1, expires=1)])
        assert numbers(box.pending(10, 10_000)) == [1]


class TestAtRest:
    def test_neither_kind_nor_payload_is_in_the_file(self, path: Path) -> None:
        box = keeper(path)
        secret = b"a payload that nobody reads"
        box.put([Entry(bytes(16), "secret.kind", secret, Priority.AUDIT, NOW)])
        everything = b"".join(file.read_bytes() for file in path.parent.iterdir())
        assert secret not in everything
        assert b"secret.kind" not in everything
        box.close()

    def test_the_file_is_for_its_owner_only(self, path: Path) -> None:
        keeper(path).put([entry(1)])
        assert path.stat().st_mode & 0o077 == 0

    @pytest.mark.parametrize("column", range(5))
    def test_a_row_that_was_changed_does_not_open(self, column: int) -> None:
        vault = Vault(KEY)
        row = list(vault.seal(entry(1, expires=NOW)))
        row[column] = row[column][:-1] + b"x" if isinstance(row[column], bytes) else row[column] - 1  # type: ignore[operator,index]  # of any column
        with pytest.raises(UnreadableError):
            vault.open(tuple(row))  # type: ignore[arg-type]  # a changed row

    def test_a_changed_row_is_counted_and_the_others_are_sent(self, path: Path) -> None:
        box = keeper(path)
        box.put([entry(1), entry(2)])
        box.close()
        with sqlite3.connect(path) as db:
            db.execute("UPDATE entry SET priority = 0 WHERE seq = 1")
        db.close()
        found = box.pending(10, 10_000)
        assert numbers(found) == [2]
        assert bounded.decode(found[0].payload, limit=100) == {"unreadable": 1}

    def test_any_number_of_changed_rows_is_passed_over(self, path: Path) -> None:
        box = keeper(path, rows=2000)
        box.put([entry(number) for number in range(1500)])
        box.close()
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE entry SET created = created + 1 WHERE seq < 1500")
        assert [item.kind for item in box.pending(1, 10_000)] == [LOSSES]
        assert numbers(box.pending(2, 10_000)) == [1499]

    def test_a_key_of_another_length_is_refused(self) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            Vault(b"short")


class TestDamage:
    def damage(self, path: Path, at: float) -> None:
        with path.open("r+b") as file:
            file.seek(int(path.stat().st_size * at))
            file.write(os.urandom(6000))

    @pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.9])
    def test_a_damaged_file_is_set_aside_and_the_rest_is_saved_and_told(self, path: Path, at: float) -> None:
        box = keeper(path, rows=500)
        box.put([entry(number, Priority.AUDIT, size=1000) for number in range(200)])
        box.close()
        self.damage(path, at)
        after = box.pending(500, 10_000_000)
        told = [bounded.decode(item.payload, limit=1000) for item in after if item.kind == SET_ASIDE]
        assert told == [{"saved": len(numbers(after))}]
        assert len(numbers(after)) >= (0 if at == 0 else 150)
        assert [file.name for file in path.parent.glob("*.aside-*")] == ["outbox.db.aside-1"]
        assert box.put([entry(1000)]) == [None]

    def test_damage_under_an_open_file_is_survived(self, path: Path) -> None:
        box = keeper(path, rows=500)
        box.put([entry(number, Priority.AUDIT, size=4000) for number in range(200)])
        box.close()
        box.fill()
        self.damage(path, 0.5)
        # Reads come from the file, not from a cache, since the store was just opened.
        box.remove([entry(number).event_id for number in range(200)])
        assert box.put([entry(1000)]) == [None]
        assert 1000 in numbers(box.pending(500, 10_000_000))

    def test_a_file_of_another_key_is_set_aside(self, path: Path) -> None:
        first = keeper(path)
        first.put([entry(1)])
        first.close()
        other = keeper(path, key=bytes(32))
        assert [item.kind for item in other.pending(10, 10_000)] == [SET_ASIDE]
        other.close()
        assert recovery.damaged(path).exists() is False

    def test_two_files_are_kept_and_no_more(self, path: Path) -> None:
        box = keeper(path)
        for _ in range(4):
            box.put([entry(1)])
            box.close()
            path.write_bytes(b"not a database" * 100)
        box.put([entry(2)])
        assert sorted(file.name for file in path.parent.glob("*.aside-*")) == ["outbox.db.aside-3", "outbox.db.aside-4"]

    def test_a_power_cut_before_the_salvage_loses_nothing(self, path: Path) -> None:
        box = keeper(path)
        box.put([entry(1, Priority.AUDIT)])
        box.close()
        recovery.set_aside(path)
        assert numbers(keeper(path).pending(10, 10_000)) == [1]


def test_commits_are_synced_to_the_disk(path: Path) -> None:
    path.parent.mkdir()
    store = Store(path, Vault(KEY), Limits())
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_a_folder_that_cannot_be_written_is_told_and_tried_again(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    box = keeper(blocked / "outbox.db")
    with pytest.raises(RenzhengError) as error:
        box.put([entry(1)])
    assert error.value.code == "outbox.disk"
    blocked.unlink()
    assert box.put([entry(1)]) == [None]

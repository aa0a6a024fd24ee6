"""The operator's PIN: a hash that fits one PIN, a lock that grows, a session that ends."""

import pytest

from agent.kiosk.pin import FIRST_LOCK, FREE_TRIES, LONGEST_LOCK, SESSION, Door, hash_pin, pin_matches


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_hash_fits_its_pin_and_no_other() -> None:
    stored = hash_pin("40711953")
    assert pin_matches("40711953", stored)
    assert pin_matches("40711953", stored + "\n")
    assert not pin_matches("40711954", stored)
    assert "40711953" not in stored
    assert hash_pin("40711953") != stored


@pytest.mark.parametrize("pin", ["1234567", "123456789", "1234567a", "", "１２３４５６７８"])
def test_a_pin_has_eight_digits(pin: str) -> None:
    with pytest.raises(ValueError, match="eight digits"):
        hash_pin(pin)


@pytest.mark.parametrize("stored", ["", "scrypt$", "40711953", "scrypt$AAAA$AAAA"])
def test_a_file_that_holds_no_hash_opens_nothing(stored: str) -> None:
    assert not pin_matches("40711953", stored)


def test_wrong_pins_lock_the_door_for_longer_and_longer() -> None:
    clock = Clock()
    door = Door(clock)
    for _ in range(FREE_TRIES):
        door.begin_try()
    assert door.locked_for() == 0
    door.begin_try()
    assert door.locked_for() == FIRST_LOCK
    clock.now += FIRST_LOCK
    assert door.locked_for() == 0
    door.begin_try()
    assert door.locked_for() == 2 * FIRST_LOCK
    for _ in range(40):
        door.begin_try()
    assert door.locked_for() == LONGEST_LOCK


def test_the_right_pin_forgets_the_wrong_ones() -> None:
    door = Door(Clock())
    for _ in range(FREE_TRIES):
        door.begin_try()
    door.open()
    for _ in range(FREE_TRIES):
        door.begin_try()
    assert door.locked_for() == 0


def test_a_session_lives_while_it_is_used() -> None:
    clock = Clock()
    door = Door(clock)
    token = door.open()
    for _ in range(3):
        clock.now += SESSION - 1
        assert door.admits(token)
    clock.now += SESSION + 1
    assert not door.admits(token)


def test_one_operator_at_a_time() -> None:
    door = Door(Clock())
    first, second = door.open(), door.open()
    assert not door.admits(first)
    assert door.admits(second)
    door.close()
    assert not door.admits(second)
    assert not door.admits("")

"""`renzheng simulate`: what a person lays on a reader by hand is read by another process."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli.simulate import simulate
from firmware_bridge.reader import EventKind, ReadRequest
from firmware_bridge.samv import SamvReader
from firmware_bridge.simulator.stack import missing
from tests.protocol.test_bridge_inspect import run as inspect

READ = """
import sys
from pathlib import Path
from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.pcsc import PcscReader
from firmware_bridge.reader import ReadRequest
from firmware_bridge.simulator import Person
reader = PcscReader(TrustStore.load(Path(sys.argv[1])))
assert reader.wait(5) is not None
document = reader.read(ReadRequest(Person().key))
print(sorted({check.code.value for check in document.checks.values() if check.code}))
"""


def renzheng(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = "from agent.cli.main import main; main()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.system
@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize(
    ("variant", "codes"),
    [
        ("genuine", []),
        ("clone", ["document.cloned"]),
        ("altered", ["document.altered"]),
        ("untrusted", ["document.untrusted"]),
        ("expired-csca", ["document.untrusted"]),
    ],
)
def test_a_passport_is_presented_to_a_command(variant: str, codes: list[str], tmp_path: Path) -> None:
    tmp_path.joinpath("trust").mkdir()
    reader = (sys.executable, "-c", READ, tmp_path / "trust")
    done = renzheng("simulate", "passport", "--variant", variant, "--trust", tmp_path / "trust", "--", *reader)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(codes)


def test_a_passport_is_written_as_a_dump(tmp_path: Path) -> None:
    folder = tmp_path / "person"
    folder.mkdir()
    (folder / "person.toml").write_text(
        'surname = "MUSTERFRAU"\nbirth_date = 1991-02-03\n'
        '[chip]\npace = ["DH-GM AES-256 2"]\nactive_authentication = "ecdsa"\n'
    )
    arguments = ["--folder", str(folder), "--dump", str(tmp_path / "dump"), "--trust", str(tmp_path / "trust")]
    outcome = CliRunner().invoke(simulate, ["passport", *arguments])
    assert outcome.exit_code == 0, outcome.output
    status, result = inspect(tmp_path / "dump", "--trust", tmp_path / "trust")
    assert status == 0
    assert result["files"]["DG1"]["surname"] == "MUSTERFRAU"
    assert result["files"]["EF.CardAccess"]["pace"] == ["DH-GM AES-256 parameters 2"]
    assert result["files"]["DG15"]["key"] == "P-256"


@pytest.mark.parametrize(
    ("text", "named"),
    [("surnam = 1", "surnam"), ("[chip]\nnfc = 1", "chip.nfc"), ('[chip]\npace = ["RSA"]', "RSA"), ("=", "not TOML")],
)
def test_a_folder_that_describes_no_chip_is_told(text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "person.toml").write_text(text)
    outcome = CliRunner().invoke(simulate, ["passport", "--folder", str(tmp_path), "--dump", str(tmp_path / "dump")])
    assert outcome.exit_code == 1
    assert named in outcome.output


def test_a_resident_card_is_presented_on_a_serial_port(tmp_path: Path) -> None:
    port = tmp_path / "samv"
    program = "from agent.cli.main import main; main()"
    process = subprocess.Popen([sys.executable, "-c", program, "simulate", "id-card", str(port), "--for", "20"])
    try:
        deadline = time.monotonic() + 10
        while not port.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        reader = SamvReader("id-card", str(port))
        event = reader.wait(5)
        assert event is not None
        assert event.kind is EventKind.PRESENTED
        assert reader.read(ReadRequest()).number == "110101199001010015"
    finally:
        process.terminate()
        process.wait(10)
    assert not port.exists()


@pytest.mark.system
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_nothing_is_left_of_a_stack_whose_owner_was_killed() -> None:
    program = (
        "import os, signal\n"
        "from firmware_bridge.simulator import CardStack\n"
        "stack = CardStack().start()\n"
        "print(stack.namespace, stack.log.parent, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    namespace, folder = done.stdout.split()
    deadline = time.monotonic() + 5
    while (Path("/proc", namespace).exists() or Path(folder).exists()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path("/proc", namespace).exists()
    assert not Path(folder).exists()

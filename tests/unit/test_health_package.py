"""What the package carries besides code: a unit whose sandbox holds, pages and completions of the program's own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.main import COMMANDS
from agent.configuration.load import load
from agent.failures import catalogue

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd/renzheng.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_exposure_of_the_service_is_at_most_one_and_a_half() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_the_unit_is_watched_notified_and_never_gives_up() -> None:
    lines = UNIT.read_text("utf-8").splitlines()
    for wanted in ("Type=notify", "WatchdogSec=10s", "Restart=always", "StartLimitIntervalSec=0", "LimitCORE=0"):
        assert wanted in lines


def test_nothing_that_has_seen_a_face_is_swapped_or_dumped() -> None:
    for name in ("renzheng", "renzheng-kiosk", "renzheng-self-test"):
        lines = (ROOT / f"systemd/{name}.service").read_text("utf-8").splitlines()
        assert {"MemorySwapMax=0", "LimitCORE=0"} <= set(lines), name


@pytest.mark.skipif(shutil.which("dh_installsystemd") is None, reason="debhelper is not installed")
def test_an_upgrade_leaves_no_screen_dark(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "packaging/debian", tmp_path / "debian")
    for file in (ROOT / "systemd").glob("renzheng*.*"):
        if file.suffix in {".service", ".path", ".timer"}:
            shutil.copy(file, tmp_path / "debian")
    rules = ["make", "--silent", "-f", "debian/rules"]
    subprocess.run([*rules, "override_dh_installsystemd"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run(["dh_installdeb"], cwd=tmp_path, check=True, capture_output=True)
    scripts = {path.name: path.read_text("utf-8") for path in (tmp_path / "debian/renzheng/DEBIAN").iterdir()}
    # What an upgrade stops before it unpacks, nobody starts again: it is restarted afterwards instead.
    assert "preinst" not in scripts
    for unit in ("renzheng.service", "renzheng-kiosk.service", "renzheng-renew.timer"):
        assert re.search(rf"deb-systemd-invoke \$_dh_action .*'{unit}'", scripts["postinst"]), unit
        assert re.search(rf"deb-systemd-invoke stop .*'{unit}'", scripts["prerm"]), unit


def test_the_package_can_be_removed_when_its_folder_is_gone() -> None:
    script = (ROOT / "packaging/debian/prerm").read_text("utf-8")
    assert "/opt/renzheng/lib" in script
    script = script.replace("/opt/renzheng/lib", "/nowhere/renzheng/lib")
    for _ in range(2):
        subprocess.run(["sh", "-c", script, "prerm", "remove"], check=True)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    subprocess.run([sys.executable, ROOT / "packaging/documents.py", folder], check=True)
    return folder


def test_every_failure_is_in_the_manual(documents: Path) -> None:
    text = (documents / "man/renzheng-failures.7").read_text("utf-8")
    assert all(f".SS {failure.number} {failure.code}\n" in text for failure in catalogue().values())


def test_every_command_has_its_page_and_none_breaks_man(documents: Path) -> None:
    pages = {path.name for path in (documents / "man").iterdir()}
    assert {"renzheng.1", *(f"renzheng-{name}.1" for name in COMMANDS)} <= pages
    for page in (documents / "man").iterdir():
        text = page.read_text("utf-8")
        requests = {line.split()[0] for line in text.splitlines() if line.startswith(".")}
        assert requests <= {".TH", ".SH", ".SS", ".TP", ".B", ".BR", ".I", ".PP", ".nf", ".fi"}, page.name
        assert not set(text) & {"\b", "\x1b"}, page.name


def test_what_is_to_be_typed_keeps_its_lines_in_the_manual(documents: Path) -> None:
    lines = (documents / "man/renzheng-config.1").read_text("utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if "config keygen authority.key" in line)
    assert "config sign evening.toml" in lines[begin + 1].replace("\\", "")
    assert lines[begin - 1] == ".nf"


def test_completion_asks_the_program_itself(documents: Path) -> None:
    for name, shell in (("renzheng", "bash"), ("_renzheng", "zsh"), ("renzheng.fish", "fish")):
        assert f"{shell}_complete" in (documents / "completion" / name).read_text("utf-8")


def test_the_example_of_settings_is_one(tmp_path: Path) -> None:
    example = tmp_path / "renzheng.toml"
    shutil.copy(ROOT / "packaging/renzheng.toml.example", example)
    assert load(example).readers[0].type == "pcsc"


def test_the_package_names_the_pythons_that_the_project_supports() -> None:
    control = (ROOT / "packaging/debian/control").read_text("utf-8")
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    lowest, above = re.findall(r"python3 \((?:>=|<<) ([\d.]+)\)", control)
    assert f'requires-python = ">={lowest},<{above}"' in project

"""The self-test's runner: every check bounded, its findings a table and a document that follows its schema."""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # no stubs in the environment
import pytest
from click.testing import CliRunner
from cryptography import x509

from agent.biometrics.bundle import ModelBundle
from agent.biometrics.manifest import Role
from agent.cli.self_test import self_test
from agent.failures import RenzhengError
from agent.health import check, golden, runtime
from agent.health.check import Check, Finding, Status, document
from agent.health.checks import checks, credentials
from agent.health.state import PartStates
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.samv import SimulatedSamv

SCHEMA = json.loads(resources.files("agent.health").joinpath("self_test.schema.json").read_text("utf-8"))
SETTINGS = """
[terminal]
relying_party = "Grand Hotel"
state = "{folder}/state"
[camera]
type = "simulated"
portrait = "{portrait}"
[broker]
urls = ["mqtts://127.0.0.1:1"]
"""


def raising(error: Exception) -> check.Report:
    def run() -> Finding:
        raise error

    return check.run([Check("part", "Part", run)])


def test_a_check_that_hangs_fails_in_its_time_and_holds_up_nobody() -> None:
    def hang() -> Finding:
        time.sleep(5)
        return check.passed("late")

    slow = Check("slow", "Slow", hang, seconds=0.2)
    report = check.run([slow, Check("quick", "Quick", lambda: check.passed("1"))])
    assert report.seconds < 4.0
    assert [result.finding.status for result in report.results] == [Status.FAIL, Status.PASS]
    assert report.exit_status == 2


def test_an_error_of_ours_brings_its_remedy_and_a_foreign_one_keeps_its_text() -> None:
    ours = raising(RenzhengError("reader.gone", "nobody there")).results[0].finding
    assert ours.code == "reader.gone"
    assert "cable" in ours.remedy
    foreign = raising(ValueError("L898902C3")).results[0].finding
    assert "L898902C3" not in foreign.measured
    assert foreign.code == "internal.error"


@pytest.mark.parametrize(
    ("statuses", "exit_status"),
    [([Status.PASS, Status.SKIP], 0), ([Status.PASS, Status.WARN], 1), ([Status.WARN, Status.FAIL], 2)],
)
def test_the_worst_finding_is_the_exit_status(statuses: list[Status], exit_status: int) -> None:
    made = [Check(f"c{n}", "", lambda s=status: Finding(s)) for n, status in enumerate(statuses)]  # type: ignore[misc]  # bound now
    assert check.run(made).exit_status == exit_status


def test_checks_are_chosen_by_id_and_by_family() -> None:
    made = [Check(name, "", lambda: check.passed("")) for name in ("reader.passport", "reader.id-card", "clock")]
    assert [c.id for c in check.select(made, ["reader"])] == ["reader.passport", "reader.id-card"]
    assert [c.id for c in check.select(made, ["*.id-card", "clock"])] == ["reader.id-card", "clock"]


def test_a_terminal_that_was_never_provisioned_says_so_part_by_part(tmp_path: Path) -> None:
    portrait = golden.portrait(golden.PORTRAITS[1])
    (tmp_path / "p.jpg").write_bytes(portrait)
    settings = tmp_path / "renzheng.toml"
    settings.write_text(SETTINGS.format(folder=tmp_path, portrait=tmp_path / "p.jpg"))
    done = CliRunner().invoke(self_test, ["--settings", str(settings), "--json"])
    assert done.exit_code == 2
    shown = json.loads(done.stdout)
    jsonschema.validate(shown, SCHEMA)
    found = {row["id"]: row for row in shown["checks"]}
    assert found["settings"]["status"] == "pass"
    assert found["key"]["status"] == "fail"
    assert "provision" in found["key"]["remedy"]
    # A busy machine draws the simulated person slowly, and then the check rightly warns.
    assert found["camera"]["status"] in {"pass", "warn"}, found["camera"]
    assert found["golden"]["status"] == "pass", found["golden"]
    assert {f"model.{role}" for role in ModelBundle.shipped().manifest.models} <= found.keys()
    assert shown["seconds"] < 10


def test_broken_settings_leave_the_checks_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "renzheng.toml").write_text("[terminal]\ncolour = 1\n")
    made = checks(tmp_path / "renzheng.toml")
    report = check.run(made)
    jsonschema.validate(json.loads(json.dumps(document(report))), SCHEMA)
    assert report.results[0].finding.status is Status.FAIL
    assert "terminal.colour: no such setting" in report.results[0].finding.measured
    assert {"memory", "clock", "watchdog"} <= {result.id for result in report.results}


def ready(folder: Path, more: str = "") -> Path:
    """Settings with a state folder that holds one secret."""
    (folder / "state").mkdir(mode=0o700)
    (folder / "state" / "outbox.key").touch(0o600)
    settings = folder / "renzheng.toml"
    settings.write_text(SETTINGS.format(folder=folder, portrait=folder / "p.jpg") + more)
    settings.chmod(0o640)
    return settings


def only(settings: Path, name: str) -> Finding:
    (chosen,) = check.select(checks(settings), [name])
    return chosen.run()


@pytest.mark.parametrize("name", ["camera", "clock"])
def test_a_name_that_no_check_has_is_refused_even_beside_a_good_one(tmp_path: Path, name: str) -> None:
    arguments = ["--settings", str(ready(tmp_path)), "--only", name, "--only", "clok", "--list"]
    done = CliRunner().invoke(self_test, arguments)
    assert done.exit_code == 2
    assert "no check is called clok;" in done.output


def test_a_check_that_settings_would_bring_is_not_called_unknown_when_they_are_broken(tmp_path: Path) -> None:
    (tmp_path / "renzheng.toml").write_text("[terminal]\ncolour = 1\n")
    done = CliRunner().invoke(self_test, ["--settings", str(tmp_path / "renzheng.toml"), "--only", "camera"])
    assert isinstance(done.exception, RenzhengError)
    assert "terminal.colour: no such setting" in str(done.exception)


def test_secrets_and_settings_are_for_their_owner(tmp_path: Path) -> None:
    settings = ready(tmp_path)
    secret = tmp_path / "state" / "outbox.key"
    assert only(settings, "files").measured == "1 secrets looked at"
    secret.chmod(0o640)
    assert "outbox.key can be read by others" in only(settings, "files").measured
    secret.chmod(0o600)
    settings.chmod(0o660)
    assert "renzheng.toml can be written by others" in only(settings, "files").measured


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
def test_a_secret_of_somebody_else_is_found(tmp_path: Path) -> None:
    settings = ready(tmp_path)
    os.chown(tmp_path / "state" / "outbox.key", 65534, 65534)
    assert "belongs to another than its folder" in only(settings, "files").measured


def test_the_look_at_the_disk_writes_through_no_link(tmp_path: Path) -> None:
    settings = ready(tmp_path)
    for name in (".self-test", ".self-test.new"):
        (tmp_path / "state" / name).symlink_to(settings)
    before = settings.read_bytes()
    assert only(settings, "outbox").status is Status.PASS
    assert settings.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not look")
@pytest.mark.parametrize("name", ["files", "privacy"])
def test_who_may_not_look_is_told_so_and_sees_no_pass(tmp_path: Path, name: str) -> None:
    (chosen,) = check.select(checks(ready(tmp_path)), [name])
    os.seteuid(65534)
    try:
        found = chosen.run()
    finally:
        os.seteuid(0)
    assert found.status is Status.FAIL
    assert "sudo" in found.remedy


def test_the_known_answers_are_those_of_the_shipped_models() -> None:
    bundle, noted = ModelBundle.shipped(), golden.read()
    assert noted.embed_model == bundle.entry(Role.EMBED).sha256, "run `python -m agent.health.golden`"
    assert noted.passive_model == bundle.entry(Role.PASSIVE).sha256, "run `python -m agent.health.golden`"
    living, printed = noted.passive
    assert living < 0.5 < printed


def test_a_security_module_says_its_number_with_or_without_an_agent(tmp_path: Path) -> None:
    with SimulatedSamv() as module:
        text = SETTINGS.format(folder=tmp_path, portrait=tmp_path / "p.jpg")
        (tmp_path / "renzheng.toml").write_text(f'{text}[[readers]]\ntype = "samv"\nport = "{module.path}"\n')

        # The word of an agent that was started by hand, where the self-test looks for it.
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / runtime.LINK).symlink_to(tmp_path)

        def told() -> Finding:
            (only,) = check.select(checks(tmp_path / "renzheng.toml"), ["reader.id-card"])
            return only.run()

        assert told().measured.startswith("SAM 05.")
        states = PartStates()
        states.up("reader id-card")
        states.note("reader id-card", "SAM 05.01")
        states.write(tmp_path)
        assert told().measured.endswith("SAM 05.01")
        states.down("reader id-card", "reader.gone")
        states.write(tmp_path)
        assert told().status is Status.FAIL


def test_a_state_whose_last_anchor_runs_out_is_named(tmp_path: Path) -> None:
    text = SETTINGS.format(folder=tmp_path, portrait=tmp_path / "p.jpg")
    (tmp_path / "renzheng.toml").write_text(f'{text}[[readers]]\ntype = "pcsc"\n')

    def told() -> Finding:
        (only,) = check.select(checks(tmp_path / "renzheng.toml"), ["csca"])
        return only.run()

    long_ago = datetime.now(UTC) - timedelta(days=360)
    IssuingState.create("UT").write_trust(tmp_path / "trust")
    assert told().status is Status.PASS
    # A state with an old anchor beside a good one is fine; one that has nothing else is not.
    IssuingState.create("UT", begin=long_ago, years=1).write_trust(tmp_path / "trust")
    assert told().status is Status.PASS
    IssuingState.create("XO", begin=long_ago, years=1).write_trust(tmp_path / "trust")
    found = told()
    assert found.status is Status.WARN
    assert "3 anchors of 2 states" in found.measured
    assert found.measured.endswith("runs out: XO")


def test_a_clock_that_the_issuer_contradicts_fails(tmp_path: Path) -> None:
    settings = ready(tmp_path)
    (tmp_path / "state" / runtime.LINK).symlink_to(tmp_path)
    states = PartStates()
    states.up("clock")
    states.write(tmp_path)
    found = only(settings, "clock")
    assert found.status in {Status.PASS, Status.WARN}
    assert found.measured.endswith("agrees with the issuer's epoch")
    states.down("clock", "clock.contradicted")
    states.write(tmp_path)
    found = only(settings, "clock")
    assert (found.status, found.code) == (Status.FAIL, "clock.contradicted")
    assert "timedatectl" in found.remedy


def test_a_certificate_of_another_authority_fails(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        command = [sys.executable, "-m", "issuer.cli", "quickstart", str(tmp_path / name), "--name", name]
        subprocess.run([*command, "--terminal", "lobby-1", "--port", "1"], check=True, capture_output=True)
    folder = tmp_path / "ours/terminals/lobby-1"
    settings = ready(tmp_path, f'[identity]\nfolder = "{folder}"\n')
    assert only(settings, "certificate").status is Status.PASS
    shutil.copy(tmp_path / "theirs/terminals/lobby-1/trust/evidence-ca.pem", folder / "trust")
    found = only(settings, "certificate")
    assert (found.status, found.code) == (Status.FAIL, "trust.certificate")
    assert "not trusted here" in found.measured


@pytest.mark.parametrize(
    ("name", "days_left", "remedy"),
    [
        ("device.pem", 5, "provision --renew"),
        ("tls.pem", 5, "provision --renew"),
        ("tls.pem", -1, "--again"),
        ("broker authority", 5, "--again"),
    ],
)
def test_a_certificate_that_ends_is_renewed_or_enrolled_anew(
    tmp_path: Path, name: str, days_left: int, remedy: str
) -> None:
    begin = datetime.now(UTC) - timedelta(days=365 - days_left)
    ending = IssuingState.create("UT", begin=begin, years=1).write_trust(tmp_path)
    lasting = IssuingState.create("UT").write_trust(tmp_path)
    certificates = [x509.load_der_x509_certificate(file.read_bytes()) for file in (ending, lasting)]
    found = credentials.validity(list(zip((name, "another"), certificates, strict=True)))
    assert found.status is (Status.WARN if days_left > 0 else Status.FAIL)
    assert remedy in found.remedy


def test_a_camera_that_is_absent_is_told_once(tmp_path: Path) -> None:
    settings = ready(tmp_path)
    text = settings.read_text().replace('type = "simulated"', f'type = "v4l2"\ndevice = "{tmp_path}/video0"')
    settings.write_text("".join(line for line in text.splitlines(keepends=True) if "portrait" not in line))
    assert (found := only(settings, "exposure")).status is Status.SKIP, found
    camera, _exposure = check.run(check.select(checks(settings), ["camera", "exposure"])).results
    assert (camera.finding.status, camera.finding.code) == (Status.FAIL, "camera.gone")

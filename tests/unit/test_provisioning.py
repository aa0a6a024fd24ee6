"""What provisioning writes and what it leaves alone; the parts that need no issuer."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from agent.cli.provision import provision
from agent.configuration.load import load, parse
from agent.failures import RenzhengError
from agent.provisioning import hardware, keys, service
from agent.provisioning import settings as settings_files
from agent.provisioning.keys import KeyWish
from agent.provisioning.provision import address

SITE = """
[terminal]
relying_party = "酒店"
[[readers]]
type = "pcsc"
match = "Virtual"
[camera]
type = "v4l2"
device = "/dev/video2"
[broker]
urls = ["mqtts://192.0.2.10:8883"]
"""
OWN = {"terminal": {"state": "/srv/state"}, "identity": {"folder": "/srv/state/identity"}}


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("issuer.example", "https://issuer.example:8443"),
        ("issuer.example:444/", "https://issuer.example:444"),
        ("https://192.0.2.1", "https://192.0.2.1:8443"),
        ("[2001:db8::1]", "https://[2001:db8::1]:8443"),
        ("[2001:db8::1]:444", "https://[2001:db8::1]:444"),
    ],
)
def test_an_issuer_may_be_typed_as_people_say_it(typed: str, url: str) -> None:
    assert address(typed) == url


def test_the_settings_are_what_was_found_wished_said_in_this_order(tmp_path: Path) -> None:
    wished = settings_files.site(SITE)
    tables, told = settings_files.compose(wished, {"broker": {"urls": ["mqtts://192.0.2.99"]}}, OWN)
    path = tmp_path / "renzheng.toml"
    settings_files.write(path, settings_files.text(tables), None)
    settings = load(path)
    assert settings.terminal.relying_party == "酒店"
    assert settings.terminal.state == Path("/srv/state")
    assert settings.broker.urls == ("mqtts://192.0.2.99",)
    assert settings.readers[0].type == "pcsc"
    # What the issuer names is not looked for.
    assert told == []
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "renzheng.toml"
    path.write_text("# mine\n")
    settings_files.write(path, "# theirs\n", None)
    assert path.read_text() == "# mine\n"
    assert [left.name for left in tmp_path.iterdir()] == ["renzheng.toml"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[identity]\nfolder = '/'", "identity"),
        ("version = 2", "version"),
        ("terminal.state = '/'", "terminal.state"),
        ("[", "not TOML"),
    ],
)
def test_an_issuer_cannot_say_who_the_terminal_is(text: str, named: str) -> None:
    with pytest.raises(RenzhengError, match=named) as failed:
        settings_files.site(text)
    assert failed.value.code == "provision.site"


def test_a_wrong_value_of_the_issuer_is_named() -> None:
    with pytest.raises(RenzhengError, match=r"camera.*nonsense") as failed:
        settings_files.check({"camera": {"type": "nonsense"}}, Path("/etc/renzheng/renzheng.toml"))
    assert failed.value.code == "provision.site"


def broker(*urls: str) -> tuple[list[str] | None, str]:
    tables, _ = settings_files.compose(settings_files.site(SITE), {"broker": {"urls": list(urls)}}, OWN)
    return service.addresses(parse(tables, source="", base=Path("/")))


def test_only_addresses_make_a_filter_never_names() -> None:
    assert broker("mqtts://192.0.2.10:8883", "mqtts://[2001:db8::1]") == (["192.0.2.10", "2001:db8::1"], "")
    assert broker("mqtts://localhost") == ([], "")
    assert broker("mqtts://192.0.2.10", "mqtts://broker.example") == (None, "broker.example")


def test_the_filter_follows_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_systemctl", lambda *_: SimpleNamespace(returncode=0))
    drop_in = tmp_path / "renzheng.service.d/addresses.conf"
    assert service.restrict(["192.0.2.10"], drop_in)
    assert "IPAddressAllow=localhost 192.0.2.10\n" in drop_in.read_text()
    assert not service.restrict(["192.0.2.10"], drop_in)
    assert service.restrict(None, drop_in)
    assert not drop_in.exists()


def test_a_machine_without_a_tpm_says_that_its_key_could_be_copied(tmp_path: Path) -> None:
    chosen = keys.choose(KeyWish(), device=tmp_path / "none")
    assert keys.place(chosen, tmp_path).copyable
    signer = keys.signer(chosen, tmp_path, make=True)
    assert keys.signer(chosen, tmp_path, make=False).public_key == signer.public_key


def test_a_tpm_that_cannot_be_used_is_no_reason_to_take_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tpmrm0").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(RenzhengError) as failed:
        keys.choose(KeyWish(), device=tmp_path / "tpmrm0")
    assert failed.value.code == "provision.tpm"
    assert keys.choose(KeyWish(kind="file"), device=tmp_path / "tpmrm0").kind == "file"


def test_cameras_are_their_first_nodes(tmp_path: Path) -> None:
    for number, index in ((10, 0), (2, 0), (3, 1)):
        folder = tmp_path / f"video{number}"
        folder.mkdir()
        (folder / "index").write_text(f"{index}\n")
        (folder / "name").write_text("USB camera\n")
    assert [device for device, _ in hardware.v4l2_devices(tmp_path)] == ["/dev/video2", "/dev/video10"]


def test_a_board_says_which_camera_is_likely(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"Raspberry Pi 4 Model B Rev 1.5\0")
    assert hardware.likely_camera(tmp_path / "model") == {"type": "picamera2"}
    assert hardware.likely_camera(tmp_path / "none") == {"type": "v4l2"}


def test_what_is_missing_on_the_command_line_is_named(tmp_path: Path) -> None:
    here = ["--settings", str(tmp_path / "r.toml"), "--state", str(tmp_path / "state")]
    done = CliRunner().invoke(provision, [*here, "--no-service"])
    assert isinstance(done.exception, RenzhengError)
    assert "--issuer and --code are needed" in str(done.exception)
    assert not (tmp_path / "r.toml").exists()


def test_a_systemd_that_does_not_answer_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\nexec sleep 30\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(service, "START", 0.2)
    with pytest.raises(RenzhengError, match=r"enable .* no answer within 0\.2 s \[provision\.service\]"):
        service.begin(changed=True)


@pytest.mark.parametrize("options", [["--within", "30"], ["--json", "--renew"], ["--json", "--request", "file"]])
def test_an_option_that_would_do_nothing_is_refused(tmp_path: Path, options: list[str]) -> None:
    done = CliRunner().invoke(provision, [*options, "--state", str(tmp_path), "--settings", str(tmp_path / "x.toml")])
    assert done.exit_code == 2
    assert f"{options[0]} goes with" in done.output

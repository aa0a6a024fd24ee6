"""The settings of a terminal: one frozen schema, unknown keys refused, defaults that serve.

Paths are relative to the settings file. `agent.configuration.load` reads a file and names a wrong value with its file,
its key and what is allowed.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Terminal(Section):
    """For whom this terminal asks, and where it keeps its state."""

    relying_party: str = Field(min_length=1, max_length=100, title="Who receives the decision")
    purpose: str = Field(default="identity check", max_length=100, title="What the decision is for")
    state: Path = Field(default=Path("/var/lib/renzheng"), title="Folder for durable state")
    groups: tuple[str, ...] = Field(default=(), max_length=16, title="Groups that remote settings may address")


class PcscSettings(Section):
    """A PC/SC reader."""

    type: Literal["pcsc"]
    name: str = Field(default="passport", pattern=r"^[a-z0-9-]{1,32}$", title="The reader's name in events and checks")
    match: str = Field(default="", title="A part of the PC/SC reader's name; the first reader if empty")
    share: bool = Field(default=False, title="Share the card with other programs")


class SamvSettings(Section):
    """A SAM-V module for resident identity cards on a serial line."""

    type: Literal["samv"]
    name: str = Field(default="id-card", pattern=r"^[a-z0-9-]{1,32}$")
    port: str = Field(title="Device path, or usb:VID:PID")
    baud: int = Field(default=115200, gt=0)


class ScannerSettings(Section):
    """A serial bar-code or MRZ reader."""

    type: Literal["scanner"]
    name: str = Field(default="scanner", pattern=r"^[a-z0-9-]{1,32}$")
    port: str = Field(title="Device path, or usb:VID:PID")
    baud: int = Field(default=9600, gt=0)
    terminator: str = Field(default="\r", min_length=1, max_length=4)
    prefix: str = Field(default="", max_length=8)
    trigger: str = Field(default="", max_length=16, title="Bytes that start a scan, if the scanner wants any")


ReaderSettings = Annotated[PcscSettings | SamvSettings | ScannerSettings, Field(discriminator="type")]


class Picamera2Settings(Section):
    """A Raspberry Pi camera."""

    type: Literal["picamera2"]
    index: int = Field(default=0, ge=0)
    width: int = Field(default=640, ge=320, le=1920)
    height: int = Field(default=480, ge=240, le=1080)


class V4l2Settings(Section):
    """A USB camera."""

    type: Literal["v4l2"]
    device: str = "/dev/video0"
    width: int = Field(default=640, ge=320, le=1920)
    height: int = Field(default=480, ge=240, le=1080)


class ReplaySettings(Section):
    """Frames from a folder of pictures or a video file."""

    type: Literal["replay"]
    path: Path
    rate: float = Field(default=15.0, gt=0, le=60, title="Frames a second")
    loop: bool = True


class SimulatedSettings(Section):
    """A rendered person before a rendered camera (`agent.biometrics.simulator`): for demonstrations and tests."""

    type: Literal["simulated"]
    actor: Literal["holder", "print"] = Field(
        default="holder", title="Somebody who does what the screen asks, or paper"
    )
    portrait: Path = Field(title="Frontal portrait that the actor wears")
    rate: float = Field(default=15.0, gt=0, le=60, title="Frames a second")


CameraSettings = Annotated[
    Picamera2Settings | V4l2Settings | ReplaySettings | SimulatedSettings, Field(discriminator="type")
]


class Documents(Section):
    """What is asked of a document."""

    trust: Path = Field(default=Path("trust"), title="Folder of CSCA certificates, master lists and CRLs")
    allow_bac_fallback: bool = Field(default=False, title="Read a chip that offers PACE by BAC all the same")
    clone_proof: Literal["required", "if_present"] = Field(
        default="if_present", title="Whether a chip without chip or active authentication is refused"
    )
    accept_expired: bool = False


class Faces(Section):
    """What is asked of a face."""

    liveness: Literal["convenience", "standard", "high"] = "standard"
    target_fmr: float = Field(default=1e-5, gt=0, lt=0.1, title="False match rate that the threshold is calibrated for")
    models: Path | None = Field(default=None, title="Folder of a signed model bundle; the shipped one if absent")
    model_authority: Path | None = Field(
        default=None, title="PEM public key that must have signed bundle and site file"
    )
    site: Path | None = Field(
        default=None, title="Signed site file: thresholds calibrated here (`renzheng models calibrate`)"
    )
    origins: tuple[str, ...] = Field(
        default=(),
        max_length=8,
        title="https://host/path/ from which bundles may be fetched; over MQTT they always may",
    )


class Broker(Section):
    """The MQTT broker, over mutual TLS."""

    urls: tuple[str, ...] = Field(min_length=1, max_length=8, title="mqtts://host[:port], tried in order")
    keepalive: int = Field(default=15, ge=5, le=3600, title="Seconds")


class FileKey(Section):
    """The device key in a file of the identity folder: for development."""

    type: Literal["file"] = "file"


class TpmKey(Section):
    """The device key in a TPM 2.0."""

    type: Literal["tpm"]
    handle: int = Field(default=0x81010001, title="Persistent handle")
    tcti: str = Field(default="device:/dev/tpmrm0", title="How the TPM is reached")


class Pkcs11Key(Section):
    """The device key on a PKCS#11 token."""

    type: Literal["pkcs11"]
    module: Path
    token: str
    label: str = "renzheng"
    pin_file: Path


KeySettings = Annotated[FileKey | TpmKey | Pkcs11Key, Field(discriminator="type")]


class Identity(Section):
    """Who this terminal is: keys, certificates and anchors, as `renzheng provision` laid them down."""

    folder: Path = Path("identity")
    key: KeySettings = FileKey()
    issuer: str = Field(
        default="", max_length=300, title="https://host:port where certificates are renewed; empty: by hand"
    )


class Deadlines(Section):
    """Seconds that each phase may take; past it the verification ends with a failure."""

    key: float = Field(default=60.0, gt=0, le=600, title="For the MRZ, when the chip asks for it")
    document: float = Field(default=20.0, gt=0, le=120)
    face: float = Field(default=45.0, gt=0, le=120)
    decision: float = Field(default=5.0, gt=0, le=60)


class Kiosk(Section):
    """The page that the person looks at."""

    enabled: bool = True
    port: int = Field(default=8471, ge=1, le=65535, title="On loopback only")
    language: str = Field(
        default="zh",
        pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$",
        title="What the page starts with: a language file",
    )
    join_codes: bool = Field(default=False, title="Show a code by which a phone with the issuer's app joins")
    operator_pin_file: Path | None = Field(
        default=None, title="Hash of the operator's PIN; without it no operator page"
    )
    help: dict[str, Annotated[str, Field(min_length=1, max_length=120)]] = Field(
        default_factory=dict, max_length=32, title="Where the staff is, by language: told to who asks for help"
    )


class Health(Section):
    """Telemetry and limits."""

    telemetry: float = Field(default=300.0, ge=1, title="Seconds between telemetry messages")
    metrics_port: int | None = Field(default=None, ge=1, le=65535, title="Prometheus on loopback")
    textfile: Path | None = Field(default=None, title="Prometheus text file for the node exporter")


class Log(Section):
    """Logging to standard error (the journal)."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(Section):
    """Everything that a terminal is told."""

    version: Literal[1] = 1
    terminal: Terminal
    readers: tuple[ReaderSettings, ...] = Field(default=(), max_length=8)
    camera: CameraSettings
    documents: Documents = Documents()
    faces: Faces = Faces()
    broker: Broker
    identity: Identity = Identity()
    deadlines: Deadlines = Deadlines()
    kiosk: Kiosk = Kiosk()
    health: Health = Health()
    log: Log = Log()

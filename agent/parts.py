"""From settings to parts: each function builds one part and starts nothing.

The composition root puts them together; the self-test builds one alone to look at it.
"""

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent import __version__, durable
from agent.biometrics.bundle import ModelBundle
from agent.biometrics.camera.source import FrameSource
from agent.biometrics.camera.watch import WatchedSource
from agent.biometrics.liveness.challenge import Challenge, draw
from agent.biometrics.liveness.policy import POLICIES
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.site import SiteManifest
from agent.configuration.schema import (
    CameraSettings,
    Faces,
    FileKey,
    Identity,
    PcscSettings,
    Picamera2Settings,
    Pkcs11Key,
    ReaderSettings,
    ReplaySettings,
    SamvSettings,
    ScannerSettings,
    Settings,
    SimulatedSettings,
    TpmKey,
    V4l2Settings,
)
from agent.configuration.store import InForce
from agent.failures import RenzhengError
from agent.transport.outbox.vault import KEY_SIZE
from agent.trust import identity
from agent.trust.identity import DeviceIdentity
from agent.verification.case import Policy
from agent.verification.evidence import model_claims
from agent.verification.judge import DocumentPolicy
from agent.verification.reader import Reader
from agent.wire.claims import ConfigurationId
from agent.wire.keys import Signer
from firmware_bridge.emrtd.trust import TrustStore

if TYPE_CHECKING:
    from agent.biometrics.simulator.camera import SimulatedCamera


def device_identity(settings: Identity) -> DeviceIdentity:
    """The terminal's identity, with its key where the settings say that it is."""
    return identity.load(settings.folder, signer(settings))


def signer(settings: Identity) -> Signer | None:
    """The device key of a TPM or token; None when it lies in the identity folder."""
    match settings.key:
        case TpmKey(handle=handle, tcti=tcti):
            from agent.trust.tpm_key import TpmSigner

            return TpmSigner(handle, tcti)
        case Pkcs11Key(module=module, token=token, label=label, pin_file=pin_file):
            from agent.trust.pkcs11_key import Pkcs11Signer

            return Pkcs11Signer(module, token, label, pin_file)
        case FileKey():
            return None


def reader(settings: ReaderSettings, trust: TrustStore) -> Reader:
    """One reader with its thread."""
    match settings:
        case PcscSettings():
            from firmware_bridge.pcsc import PcscReader

            return Reader(
                PcscReader(trust, name=settings.name, match=settings.match, exclusive=not settings.share),
                needs_key=True,
            )
        case SamvSettings():
            from firmware_bridge.samv import SamvReader

            module = SamvReader(settings.name, settings.port, baud=settings.baud)
            return Reader(module, needs_key=False, about=lambda: f"SAM {module.sam_id()}")
        case ScannerSettings():
            from firmware_bridge.scanner import ScannerReader

            scanner = ScannerReader(
                settings.name,
                settings.port,
                baud=settings.baud,
                terminator=settings.terminator,
                prefix=settings.prefix,
                trigger=settings.trigger,
            )
            return Reader(scanner, needs_key=False)


def trust_store(settings: Settings) -> TrustStore:
    """The CSCA certificates, master lists and CRLs that documents are checked against."""
    return TrustStore.load(settings.documents.trust)


def frame_source(settings: CameraSettings) -> FrameSource:
    """Open the camera."""
    match settings:
        case Picamera2Settings():
            from agent.biometrics.camera.picamera import PicameraSource

            return WatchedSource(PicameraSource(settings.index, settings.width, settings.height))
        case V4l2Settings():
            from agent.biometrics.camera.v4l2 import V4l2Source

            return WatchedSource(V4l2Source(settings.device, settings.width, settings.height))
        case ReplaySettings():
            from agent.biometrics.camera.replay import ReplaySource

            return ReplaySource(settings.path, rate=settings.rate, loop=settings.loop)
        case SimulatedSettings():
            return simulated_camera(settings)


def simulated_camera(settings: SimulatedSettings) -> "SimulatedCamera":
    """A rendered person; whoever shows screens tells it what they say (`observe`)."""
    from agent.biometrics.simulator.actors import Holder
    from agent.biometrics.simulator.attacks import Print
    from agent.biometrics.simulator.camera import SimulatedCamera
    from agent.biometrics.simulator.person import Person
    from agent.biometrics.simulator.portraits import read_portrait

    portrait = read_portrait(settings.portrait, FacePipeline())
    actor = Holder(Person.of(portrait)) if settings.actor == "holder" else Print(portrait)
    return SimulatedCamera(actor, rate=settings.rate)


def face_pipeline(settings: Faces) -> FacePipeline:
    """Load the models, with what was calibrated at this site.

    Raises:
        RenzhengError: as `model_bundle`, for the site file too.
    """
    site = None if settings.site is None else SiteManifest.load(settings.site, [_authority(settings)])
    return FacePipeline(model_bundle(settings), settings.target_fmr, site=site)


def model_bundle(settings: Faces) -> ModelBundle:
    """The bundle that the settings name, its signature checked; or the shipped one.

    Raises:
        RenzhengError: `settings.invalid` (a bundle without the key of its authority), or `model.*`.
    """
    if settings.models is None:
        return ModelBundle.shipped()
    return ModelBundle.signed(settings.models, [_authority(settings)])


def _authority(settings: Faces) -> bytes:
    if settings.model_authority is None:
        raise RenzhengError("settings.invalid", "faces.models and faces.site need faces.model_authority")
    try:
        return settings.model_authority.read_bytes()
    except OSError as error:
        raise RenzhengError("settings.invalid", f"{settings.model_authority}: {error.strerror}") from error


def model_digests(bundle: ModelBundle) -> Mapping[str, str]:
    """SHA-256 of each model by its role, as hexadecimal."""
    return {role.value: entry.sha256 for role, entry in bundle.manifest.models.items()}


def policy(settings: Settings, in_force: InForce | None = None) -> Policy:
    """What the settings ask of everyone who comes; `in_force` names the settings in the evidence."""
    return Policy(
        document=DocumentPolicy(
            clone_proof_required=settings.documents.clone_proof == "required",
            accept_expired=settings.documents.accept_expired,
        ),
        liveness=POLICIES[settings.faces.liveness],
        relying_party=settings.terminal.relying_party,
        purpose=settings.terminal.purpose,
        software_version=__version__,
        configuration=_configuration(settings, in_force),
        models=model_claims(model_digests(model_bundle(settings.faces))),
        key_timeout=settings.deadlines.key,
        document_timeout=settings.deadlines.document,
        face_timeout=settings.deadlines.face,
        decision_timeout=settings.deadlines.decision,
        allow_bac_fallback=settings.documents.allow_bac_fallback,
    )


def _configuration(settings: Settings, in_force: InForce | None) -> ConfigurationId:
    if in_force is not None:
        return ConfigurationId(version=in_force.number, sha256=in_force.digest)
    return ConfigurationId(version=0, sha256=hashlib.sha256(settings.model_dump_json().encode()).digest())


class Draw:
    """Draws a challenge for each person, never the previous one again."""

    def __init__(self, settings: Settings) -> None:
        self._policy = POLICIES[settings.faces.liveness]
        self._previous: Challenge | None = None

    def __call__(self) -> Challenge:
        """The next challenge."""
        self._previous = draw(self._policy, self._previous)
        return self._previous


def outbox_key(state: Path) -> bytes:
    """32 bytes that seal the outbox: systemd's credential `outbox-key`, else a file that is made on first use.

    Raises:
        RenzhengError: `settings.invalid`, the credential or the file has another length.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (path := Path(credentials) / "outbox-key").is_file():
        key = path.read_bytes()
    else:
        path = state / "outbox.key"
        if not path.exists():
            durable.write(path, secrets.token_bytes(KEY_SIZE))
        key = path.read_bytes()
    if len(key) != KEY_SIZE:
        raise RenzhengError("settings.invalid", f"{path} does not hold {KEY_SIZE} bytes")
    return key

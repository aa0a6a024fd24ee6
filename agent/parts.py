"""From settings to parts: each function builds one part and starts nothing.

The composition root puts them together; the self-test builds one alone to look at it.
"""

from collections.abc import Mapping

from agent.biometrics.bundle import ModelBundle
from agent.biometrics.camera.source import FrameSource
from agent.biometrics.pipeline import FacePipeline
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
from agent.failures import RenzhengError
from agent.trust import identity
from agent.trust.identity import DeviceIdentity
from agent.verification.reader import Reader
from agent.wire.keys import Signer
from firmware_bridge.emrtd.trust import TrustStore


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

            return Reader(PcscReader(settings.name, trust, match=settings.match, share=settings.share), needs_key=True)
        case SamvSettings():
            from firmware_bridge.samv import SamvReader

            return Reader(SamvReader(settings.name, settings.port, baud=settings.baud), needs_key=False)
        case ScannerSettings():
            from firmware_bridge.scanner import ScannerReader

            return Reader(ScannerReader(settings.name, settings.port, baud=settings.baud), needs_key=False)


def trust_store(settings: Settings) -> TrustStore:
    """The CSCA certificates, master lists and CRLs that documents are checked against."""
    return TrustStore.load([settings.documents.trust])


def frame_source(settings: CameraSettings) -> FrameSource:
    """Open the camera."""
    match settings:
        case Picamera2Settings():
            from agent.biometrics.camera.picamera import PicameraSource

            return PicameraSource(settings.index, settings.width, settings.height)
        case V4l2Settings():
            from agent.biometrics.camera.v4l2 import V4l2Source

            return V4l2Source(settings.device, settings.width, settings.height)
        case ReplaySettings():
            from agent.biometrics.camera.replay import ReplaySource

            return ReplaySource(settings.path, rate=settings.rate, loop=settings.loop)
        case SimulatedSettings():
            from agent.biometrics.simulator import simulated_camera

            return simulated_camera(settings.actor, settings.portrait, settings.second, settings.rate)


def face_pipeline(settings: Faces) -> FacePipeline:
    """Load the models."""
    return FacePipeline(model_bundle(settings), settings.target_fmr)


def model_bundle(settings: Faces) -> ModelBundle:
    """The bundle that the settings name, its signature checked; or the shipped one.

    Raises:
        RenzhengError: `settings.invalid` (a bundle without the key of its authority), or `model.*`.
    """
    if settings.models is None:
        return ModelBundle.shipped()
    if settings.model_authority is None:
        raise RenzhengError("settings.invalid", "faces.models needs faces.model_authority: unsigned models are not run")
    try:
        authority = settings.model_authority.read_bytes()
    except OSError as error:
        raise RenzhengError("settings.invalid", f"{settings.model_authority}: {error.strerror}") from error
    return ModelBundle.signed(settings.models, [authority])


def model_digests(bundle: ModelBundle) -> Mapping[str, str]:
    """SHA-256 of each model by its role, as hexadecimal."""
    return {role.value: entry.sha256 for role, entry in bundle.manifest.models.items()}

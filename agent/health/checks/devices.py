"""Checks of readers and camera: present, answering, and the picture is one."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from time import monotonic

import numpy as np

from agent import parts
from agent.biometrics.camera.watch import WatchedSource
from agent.biometrics.image import picture_of
from agent.biometrics.types import Frame
from agent.configuration.schema import (
    PcscSettings,
    ReaderSettings,
    ReplaySettings,
    SamvSettings,
    ScannerSettings,
    Settings,
    SimulatedSettings,
    V4l2Settings,
)
from agent.health import state, v4l2_controls
from agent.health.check import Check, Finding, failed, passed, skipped, warned
from agent.health.state import PartState

FRAMES = 12
FIRST_FRAME = 3.0
MIN_RATE = 8.0
#: Mean brightness (0..255) of a lens cap, and of a picture in which faces are lost.
BLACK, DARK, BRIGHT = 4.0, 35.0, 225.0
#: Variance of the Laplacian below which the picture has no edges: out of focus, or a covered lens.
BLURRED = 15.0


def checks(settings: Settings, runtime: Path) -> list[Check]:
    """One for each reader, and the camera."""
    told = state.read(runtime) or {}
    readers = [
        Check(f"reader.{reader.name}", f"Reader {reader.name} ({reader.type})", partial(_reader, reader, told))
        for reader in settings.readers
    ]
    return [
        *readers,
        Check("camera", f"Camera ({settings.camera.type})", partial(_camera, settings, told), seconds=9.0),
        Check("exposure", "Camera sets its exposure", partial(_exposure, settings)),
    ]


def _reader(settings: ReaderSettings, told: Mapping[str, PartState]) -> Finding:
    match settings:
        case PcscSettings():
            return _pcsc(settings)
        case SamvSettings() | ScannerSettings():
            word = told.get(f"reader {settings.name}")
            return _told(word) if word is not None else _serial(settings)


def _pcsc(settings: PcscSettings) -> Finding:
    """pcscd shares its readers: this one is asked itself, beside the agent that holds it."""
    from firmware_bridge.errors import Code, ReaderError
    from firmware_bridge.pcsc import CardThere, look

    try:
        seen = look(settings.match)
    except ReaderError as error:
        if error.code is not Code.READER_GONE:
            raise
        remedy = "Check the cable, `pcsc_scan` and `systemctl status pcscd`; CCID readers need libccid."
        return failed(str(error), f"one that matches {settings.match!r}", remedy, error.code)
    firmware = f", firmware {seen.firmware}" if seen.firmware else ""
    measured = f"{seen.name}{firmware}; {seen.card}"
    if seen.card is CardThere.SILENT:
        return warned(measured, "a card answers", "Lay the card flat on the reader, or another card: it is the chip.")
    return passed(measured)


def _told(told: PartState) -> Finding:
    """A serial line belongs to one process: the running agent's word counts."""
    if told.up:
        answers = "the agent holds it and it answers"
        return passed(f"{answers}; {told.about}" if told.about else answers)
    remedy = "Check cable and power; the agent takes it back by itself."
    return failed(f"the agent says {told.code}", "answers", remedy, told.code)


def _serial(settings: SamvSettings | ScannerSettings) -> Finding:
    """No agent runs: a security module is asked for its number; a scanner speaks only when something is scanned."""
    if isinstance(settings, SamvSettings):
        from firmware_bridge.samv import SamvReader

        module = SamvReader(settings.name, settings.port, baud=settings.baud)
        try:
            return passed(f"SAM {module.sam_id()}")
        finally:
            module.close()
            module.wait(0)
    from firmware_bridge.serial import find_port

    port = find_port(settings.port)
    if port is None or not Path(port).exists():
        return failed(f"{settings.port} is not there", "present", "Check cable and power.", "reader.gone")
    return passed(f"{port} is present; the agent does not run, so nothing was asked of it")


def _camera(settings: Settings, told: Mapping[str, PartState]) -> Finding:
    if (word := told.get("camera")) is not None and not isinstance(settings.camera, SimulatedSettings | ReplaySettings):
        if word.up:
            return passed("the agent holds it and frames arrive")
        remedy = "Check the cable and that no other program uses it; the agent takes it back by itself."
        return failed(f"the agent says {word.code}", "frames", remedy, word.code)
    source = WatchedSource(parts.frame_source(settings.camera))
    try:
        frames = [source.read(FIRST_FRAME)]
        start = monotonic()
        frames += [source.read(FIRST_FRAME) for _ in range(FRAMES - 1)]
        rate = (FRAMES - 1) / max(monotonic() - start, 1e-6)
    finally:
        source.close()
    return _judge(frames, rate)


def _judge(frames: list[Frame], rate: float) -> Finding:
    """Rate, exposure and focus of a handful of frames; a frozen stream has raised before."""
    import cv2

    grey = cv2.cvtColor(picture_of(frames[-1]).pixels, cv2.COLOR_RGB2GRAY)
    brightness, sharpness = float(np.mean(grey)), float(cv2.Laplacian(grey, cv2.CV_64F).var())
    height, width = grey.shape
    measured = f"{width}x{height}, {rate:.1f} frames/s, brightness {brightness:.0f}, sharpness {sharpness:.0f}"
    limit = f"{MIN_RATE:g} frames/s, brightness {DARK:g}-{BRIGHT:g}, sharpness {BLURRED:g}"
    if brightness < BLACK:
        return failed(measured, limit, "The picture is black: take the cap off, check the ribbon cable.", "camera.gone")
    if rate < MIN_RATE:
        return warned(measured, limit, "Use a USB port of its own, or a smaller picture in the settings.")
    if not DARK <= brightness <= BRIGHT:
        return warned(measured, limit, "Aim the camera away from windows, or add light.")
    if sharpness < BLURRED:
        return warned(measured, limit, "Clean the lens and set the focus to 40-70 cm.")
    return passed(measured, limit)


def _exposure(settings: Settings) -> Finding:
    """A camera that was left on a fixed exposure loses faces when the light changes; asked while the agent streams."""
    if not isinstance(settings.camera, V4l2Settings):
        # picamera2 is always opened with automatic exposure; pictures have none.
        return skipped(f"{settings.camera.type} keeps no setting of its own")
    device = settings.camera.device
    try:
        controls = v4l2_controls.read(Path(device))
    except FileNotFoundError:
        return skipped(f"{device} is not there: see `camera`")
    except OSError as error:
        remedy = "Run it as root; the service's user must be in the group `video`."
        return failed(f"{device}: {error.strerror}", "can be asked", remedy, "camera.gone")
    if not controls:
        return skipped("the camera has no such controls")
    measured = ", ".join(f"{name} {value}" for name, value in controls.items())
    if controls.get("auto-exposure") == v4l2_controls.MANUAL:
        command = f"v4l2-ctl -d {device} -c auto_exposure=3"
        return warned(measured, "automatic", f"Somebody set it by hand: unplug the camera, or `{command}`.")
    return passed(measured, "automatic")

"""Cameras: every source of frames speaks `FrameSource`."""

from agent.biometrics.camera.source import FrameSource

__all__ = ["FrameSource"]

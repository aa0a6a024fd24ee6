"""What can go wrong between a camera and a comparison; each error has a code of the failure catalogue."""

from agent.failures import RenzhengError


class FaceError(RenzhengError):
    """A picture in which no usable face could be found, or no picture at all."""


class ModelError(RenzhengError):
    """A model or its manifest is not what it claims to be."""


class CameraError(RenzhengError):
    """A camera delivers no frames, or not the frames of a camera."""

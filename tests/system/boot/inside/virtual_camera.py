# mypy: ignore-errors
"""Run inside a Debian 13 root: the real picamera2 on libcamera's virtual pipeline feeds the agent's camera source.

No board is here, so five seams stand between picamera2 and libcamera 0.4's virtual pipeline; everything else (camera
manager, configuration, requests, threads, captures) is picamera2's own:

1. `pykms`, for a preview on a display, is not there: anything goes in its place.
2. Frame memory comes from memfd: this kernel has no /dev/dma_heap. NV12 wants its two planes named.
3. A virtual camera has no raw stream: the list of raw modes is given.
4. The pipeline has no clock and completes a request the moment it is queued: requests are handed on 30 times a second.
5. The pipeline leaves a frame's status uninitialised: the request's own status counts.
"""

import json
import mmap
import os
import sys
import time
import types
from unittest.mock import MagicMock

sys.modules["pykms"] = MagicMock()
for absent in ("pidng", "pidng.core", "pidng.camdefs"):
    module = sys.modules[absent] = types.ModuleType(absent)
    module.__dict__.update({"PICAM2DNG": None, "Picamera2Camera": None})

import libcamera  # noqa: E402
import picamera2.picamera2 as implementation  # noqa: E402
from picamera2.allocators.allocator import Allocator, Sync  # noqa: E402


class MappedSync(Sync):
    """Hands out the mapping of a buffer."""

    def __init__(self, allocator, buffer, write):
        self._memory = allocator.memory[buffer]

    def __enter__(self):
        return self._memory

    def __exit__(self, *_error):
        """The mapping lives as long as its buffer."""


class MemfdAllocator(Allocator):
    """Frame memory without a DMA heap."""

    def __init__(self):
        super().__init__()
        self.sync = MappedSync
        self.memory, self._buffers, self._open = {}, {}, []

    def allocate(self, libcamera_config, use_case):
        self.close()
        for stream in libcamera_config:
            luma = stream.size.height * stream.stride
            made = []
            for number in range(stream.buffer_count):
                descriptor = os.memfd_create(f"frame-{number}")
                os.ftruncate(descriptor, stream.frame_size)
                self._open.append(descriptor)
                planes = []
                for offset, length in ((0, luma), (luma, luma // 2)):
                    plane = libcamera.FrameBuffer.Plane()
                    plane.fd, plane.offset, plane.length = descriptor, offset, length
                    planes.append(plane)
                made.append(libcamera.FrameBuffer(planes))
                self.memory[made[-1]] = mmap.mmap(descriptor, stream.frame_size)
            self._buffers[stream.stream] = made

    def buffers(self, stream):
        return self._buffers[stream]

    def close(self):
        for descriptor in self._open:
            os.close(descriptor)
        self.memory, self._buffers, self._open = {}, {}, []


class Good(libcamera.FrameMetadata.Status):
    """Equal to whatever the pipeline left in a frame's status."""

    def __eq__(self, other):
        return True

    __hash__ = None


def install_seams():
    implementation.DmaAllocator = MemfdAllocator
    whole = types.SimpleNamespace(**{name: getattr(libcamera, name) for name in dir(libcamera)})
    whole.FrameMetadata = types.SimpleNamespace(Status=types.SimpleNamespace(Success=Good(0)))
    implementation.libcamera = whole
    manager = implementation.CameraManager
    handle = manager.handle_request

    def paced(self, flushid=None):
        time.sleep(1 / 30)
        return handle(self, flushid)

    manager.handle_request = paced
    implementation.Picamera2._get_raw_modes = lambda self: [{"format": "NV12", "size": (640, 480)}]


def main():
    install_seams()
    from agent.biometrics.camera.picamera import PicameraSource
    from agent.biometrics.image import picture_of
    from agent.biometrics.pipeline import FacePipeline

    source = PicameraSource(0, 640, 480)
    frames = [source.read(3.0) for _ in range(12)]
    source.close()
    again = PicameraSource(0, 640, 480)
    frames.append(again.read(3.0))
    again.close()
    pipeline = FacePipeline()
    faces = [pipeline.analyse(frame).face is not None for frame in frames]
    picture = picture_of(frames[0])
    print(json.dumps({  # noqa: T201
        "frames": len(frames),
        "size": [picture.width, picture.height],
        "faces": sum(faces),
        "sequence": [frame.sequence for frame in frames[:12]],
        "picamera2": getattr(implementation, "__file__", ""),
        "simplejpeg": sys.modules["simplejpeg"].__file__,
    }))  # fmt: skip


main()

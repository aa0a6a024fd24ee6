"""LiteRT where it is installed, its predecessor where that is what the device has."""

import sys

import pytest

from agent.biometrics import runtime
from agent.biometrics.bundle import ModelBundle
from agent.biometrics.errors import ModelError
from agent.biometrics.manifest import Role
from agent.biometrics.pipeline import FacePipeline
from tests.unit.faces_world import HOLDER_CHIP, HOLDER_LIVE, OTHER, pipeline, portrait_bytes

LITERT = ("ai_edge_litert", "ai_edge_litert.interpreter")
TFLITE = ("tflite_runtime", "tflite_runtime.interpreter")


def test_without_a_runtime_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*LITERT, *TFLITE):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelError) as caught:
        ModelBundle.shipped().network(Role.POINTS)
    assert caught.value.code == "model.runtime"


def test_the_predecessor_sees_the_same_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tflite_runtime", reason="tflite-runtime is not installed (Python 3.11 and numpy < 2 only)")
    for name in LITERT:
        monkeypatch.setitem(sys.modules, name, None)
    assert runtime._interpreter_class().__module__.startswith("tflite_runtime")
    elder = FacePipeline()
    chip, live, other = (elder.enroll(portrait_bytes(name)) for name in (HOLDER_CHIP, HOLDER_LIVE, OTHER))
    assert elder.compare(live, chip).match
    assert not elder.compare(other, chip).match
    monkeypatch.undo()
    if any(name in sys.modules for name in LITERT):
        assert pipeline().enroll(portrait_bytes(HOLDER_CHIP)).vector @ chip.vector > 0.99

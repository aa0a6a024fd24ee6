"""One neural network and its interpreter: LiteRT where it is installed, its predecessor tflite-runtime elsewhere.

An interpreter is not safe between threads: a `Network` belongs to the thread that uses it, and runs on that one thread
(two threads were slower on small boards, and steal the core of the next stage).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import ModelError

Tensor = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TensorContract:
    """The name and shape that a manifest declares for an input or an output; values are float32."""

    name: str
    shape: tuple[int, ...]


def _interpreter_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError as error:
            raise ModelError("model.runtime", "neither ai-edge-litert nor tflite-runtime is installed") from error
    return Interpreter


class Network:
    """A loaded model with one input: call it with a float32 array, get float32 arrays in the declared order."""

    def __init__(self, content: bytes, inputs: TensorContract, outputs: Sequence[TensorContract]) -> None:
        """Load `content` (a .tflite file) and hold its tensors against the declared contract.

        Raises:
            ModelError: `model.shape`, the file has other tensors than declared; `model.runtime`, it cannot be run here.
        """
        try:
            # The interpreter borrows the bytes: they must live as long as it does.
            self._content = content
            self._interpreter = _interpreter_class()(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, SystemError) as error:
            raise ModelError("model.runtime", f"the interpreter refuses the model: {error}") from error
        found_inputs = self._interpreter.get_input_details()
        found_outputs = self._interpreter.get_output_details()
        _hold_against("inputs", [inputs], found_inputs)
        _hold_against("outputs", outputs, found_outputs)
        self.input_shape = inputs.shape
        self._input = int(found_inputs[0]["index"])
        self._outputs = [int(detail["index"]) for detail in found_outputs]

    def __call__(self, values: Tensor) -> list[Tensor]:
        """Run once on `values` of the declared input shape."""
        self._interpreter.set_tensor(self._input, values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def _hold_against(side: str, declared: Sequence[TensorContract], found: Sequence[dict[str, Any]]) -> None:
    have = [(tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]).name) for detail in found]
    want = [(contract.shape, "float32") for contract in declared]
    if have != want:
        raise ModelError("model.shape", f"{side}: the manifest declares {want}, the file has {have}")


def describe(content: bytes) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The shapes of a model's inputs and outputs.

    Raises:
        ModelError: `model.runtime`, this is no model that can be run here.
    """
    try:
        interpreter = _interpreter_class()(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError, SystemError) as error:
        raise ModelError("model.runtime", f"the interpreter refuses the model: {error}") from error

    def shapes(details: Sequence[dict[str, Any]]) -> list[tuple[int, ...]]:
        return [tuple(int(n) for n in detail["shape"]) for detail in details]

    return shapes(interpreter.get_input_details()), shapes(interpreter.get_output_details())

"""One neural network and its interpreter: LiteRT where it is installed, its predecessor tflite-runtime elsewhere.

An interpreter is not safe between threads: a `Network` belongs to the thread that uses it, and runs on that one thread
(two threads were slower on small boards, and steal the core of the next stage).
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import ModelError

Tensor = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TensorContract:
    """The name and shape that a manifest declares for an input or an output."""

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
    """A loaded model with one input: call it with a float32 array, get float32 arrays in the declared order.

    A model whose own input or outputs are int8 or uint8 is converted to and from with the scales that it carries.
    """

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
        self._input = found_inputs[0]
        self._outputs = found_outputs

    def __call__(self, values: Tensor) -> list[Tensor]:
        """Run once on `values` of the declared input shape."""
        self._interpreter.set_tensor(self._input["index"], _stored(values, self._input))
        self._interpreter.invoke()
        return [_real(self._interpreter.get_tensor(detail["index"]), detail) for detail in self._outputs]


def _stored(values: Tensor, detail: dict[str, Any]) -> NDArray[Any]:
    """Real values as the tensor stores them."""
    kind = np.dtype(detail["dtype"])
    if kind == np.float32:
        return values
    scale, zero = detail["quantization"]
    limits = np.iinfo(kind)
    rounded = np.rint(values / scale) + zero
    return np.asarray(np.clip(rounded, limits.min, limits.max), kind)


def _real(stored: NDArray[Any], detail: dict[str, Any]) -> Tensor:
    """The real values of a stored tensor."""
    if stored.dtype == np.float32:
        return stored
    scale, zero = detail["quantization"]
    return (stored.astype(np.float32) - np.float32(zero)) * np.float32(scale)


def _hold_against(side: str, declared: Sequence[TensorContract], found: Sequence[dict[str, Any]]) -> None:
    have = [tuple(int(n) for n in detail["shape"]) for detail in found]
    want = [contract.shape for contract in declared]
    if have != want:
        raise ModelError("model.shape", f"{side}: the manifest declares {want}, the file has {have}")
    kinds = {np.dtype(detail["dtype"]).name for detail in found}
    if not kinds <= {"float32", "int8", "uint8"}:
        raise ModelError("model.shape", f"{side}: {', '.join(sorted(kinds))}; float32, int8 and uint8 are known")


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


def return_memory() -> None:
    """Give what a dropped network has held back to the system, where the C library can be asked to (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

"""A .tflite graph as objects, and edits of it that need no TensorFlow: read, changed, written again.

Old converters wrote PReLU and softmax as half a dozen elementary operations, stored half-precision weights behind
DEQUANTIZE operations, set only the deprecated operator code, and fixed batches nobody wants. Each function undoes one
of these. Schema: TensorFlow Lite schema version 3.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

Op = schema.BuiltinOperator
NUMPY_TYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
}


class Graph:
    """One subgraph of a model with the look-ups that every edit needs."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.model.metadata = None
        self.model.metadataBuffer = None
        self.main = self.model.subgraphs[0]

    @classmethod
    def read(cls, path: Path) -> "Graph":
        return cls(flatbuffer_utils.read_model(str(path)))

    def code(self, operator: Any) -> int:
        entry = self.model.operatorCodes[operator.opcodeIndex]
        return max(entry.builtinCode or 0, entry.deprecatedBuiltinCode or 0)

    def code_index(self, code: int) -> int:
        for index, entry in enumerate(self.model.operatorCodes):
            if max(entry.builtinCode or 0, entry.deprecatedBuiltinCode or 0) == code:
                return index
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
        self.model.operatorCodes.append(entry)
        return len(self.model.operatorCodes) - 1

    def producers(self) -> dict[int, Any]:
        return {int(tensor): operator for operator in self.main.operators for tensor in operator.outputs}

    def constant(self, index: int) -> Any:
        tensor = self.main.tensors[int(index)]
        data = self.model.buffers[tensor.buffer].data
        if data is None or len(data) == 0:
            return None
        values = np.frombuffer(bytes(bytearray(data)), NUMPY_TYPES[tensor.type])
        return values.reshape(list(tensor.shape) if tensor.shape is not None else [])

    def store(self, tensor: Any, values: Any) -> None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor.buffer = len(self.model.buffers) - 1
        tensor.shape = np.array(values.shape, np.int32)
        tensor.shapeSignature = None
        tensor.type = next(code for code, kind in NUMPY_TYPES.items() if kind == values.dtype.type)

    def add_constant(self, name: str, values: Any) -> int:
        tensor = schema.TensorT()
        tensor.name = name.encode()
        self.store(tensor, values)
        self.main.tensors.append(tensor)
        return len(self.main.tensors) - 1

    def operator(self, code: int, inputs: list[int], outputs: list[int]) -> Any:
        operator = schema.OperatorT()
        operator.opcodeIndex = self.code_index(code)
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array(outputs, np.int32)
        return operator

    def write(self, path: Path, inputs: list[str], outputs: list[str]) -> None:
        """Drop what no output needs, name the signature and write the file."""
        prune(self)
        name_signature(self, inputs, outputs)
        flatbuffer_utils.write_model(self.model, str(path))


def fold_half_weights(graph: Graph) -> int:
    """Turn half-precision weights behind DEQUANTIZE into float32 constants; the number of operations removed."""
    kept = []
    for operator in graph.main.operators:
        if graph.code(operator) == Op.DEQUANTIZE:
            values = graph.constant(operator.inputs[0])
            if values is not None and values.dtype == np.float16:
                graph.store(graph.main.tensors[operator.outputs[0]], values.astype(np.float32))
                continue
        kept.append(operator)
    removed = len(graph.main.operators) - len(kept)
    graph.main.operators = kept
    return removed


def _split_constant(graph: Graph, operator: Any) -> tuple[Any, int | None]:
    constants = [graph.constant(i) for i in operator.inputs if graph.constant(i) is not None]
    variables = [int(i) for i in operator.inputs if graph.constant(i) is None]
    if len(constants) != 1 or len(variables) != 1:
        return None, None
    return constants[0], variables[0]


def _negative_part(graph: Graph, made: dict[int, Any], branch: int, x: int) -> Any:
    """The slope of `slope * min(x, 0)` if the tensor `branch` computes that from `x`, else None.

    Two spellings are found in old files: `a/2 * (x - |x|)` and `a * -relu(-x)`.
    """
    multiply = made.get(branch)
    if multiply is None or graph.code(multiply) != Op.MUL:
        return None
    slope, inner = _split_constant(graph, multiply)
    source = made.get(inner) if inner is not None else None
    if source is None:
        return None
    if graph.code(source) == Op.SUB and int(source.inputs[0]) == x:
        absolute = made.get(int(source.inputs[1]))
        if absolute is not None and graph.code(absolute) == Op.ABS and int(absolute.inputs[0]) == x:
            return 2 * slope
    if graph.code(source) == Op.NEG:
        rectified = made.get(int(source.inputs[0]))
        negated = made.get(int(rectified.inputs[0])) if rectified is not None else None
        if negated is not None and graph.code(negated) == Op.NEG and int(negated.inputs[0]) == x:
            return slope
    return None


def fuse_prelu(graph: Graph) -> int:
    """Put one PRELU in the place of each `relu(x) + slope * min(x, 0)`; the number of places."""
    made = graph.producers()
    fused = 0
    for position, operator in enumerate(graph.main.operators):
        if graph.code(operator) != Op.ADD:
            continue
        for one, other in (operator.inputs, operator.inputs[::-1]):
            rectifier = made.get(int(one))
            if rectifier is None or graph.code(rectifier) != Op.RELU:
                continue
            x = int(rectifier.inputs[0])
            slope = _negative_part(graph, made, int(other), x)
            if slope is None:
                continue
            rank = len(graph.main.tensors[x].shape)
            output = int(operator.outputs[0])
            name = (graph.main.tensors[output].name or b"").decode() + "/slope"
            values = slope.reshape([1] * (rank - 2) + [slope.size]).astype(np.float32)
            constant = graph.add_constant(name, values)
            graph.main.operators[position] = graph.operator(Op.PRELU, [x, constant], [output])
            fused += 1
            break
    return fused


def fuse_softmax(graph: Graph) -> int:
    """Put one SOFTMAX in the place of each `exp(x - max x) / sum`; the number of places."""
    made = graph.producers()
    fused = 0
    for position, operator in enumerate(graph.main.operators):
        if graph.code(operator) != Op.DIV:
            continue
        top, bottom = (made.get(int(i)) for i in operator.inputs)
        if top is None or bottom is None or graph.code(top) != Op.EXP or graph.code(bottom) != Op.SUM:
            continue
        shifted = made[int(top.inputs[0])]
        softmax = graph.operator(Op.SOFTMAX, [int(shifted.inputs[0])], [int(operator.outputs[0])])
        softmax.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
        softmax.builtinOptions = schema.SoftmaxOptionsT()
        softmax.builtinOptions.beta = 1.0
        graph.main.operators[position] = softmax
        fused += 1
    return fused


def set_batch(graph: Graph, old: int, new: int) -> None:
    """Change a fixed batch size in every activation and every reshape."""
    for tensor in graph.main.tensors:
        empty = graph.model.buffers[tensor.buffer].data is None or not len(graph.model.buffers[tensor.buffer].data)
        if empty and tensor.shape is not None and len(tensor.shape) and tensor.shape[0] == old:
            tensor.shape = np.array([new, *tensor.shape[1:]], np.int32)
            tensor.shapeSignature = None
    for operator in graph.main.operators:
        if graph.code(operator) != Op.RESHAPE:
            continue
        shape = graph.constant(operator.inputs[1])
        if shape is not None and shape[0] == old:
            graph.store(graph.main.tensors[operator.inputs[1]], np.array([new, *shape[1:]], np.int32))
        options = operator.builtinOptions
        if options is not None and options.newShape is not None:
            options.newShape = np.array([new, *options.newShape[1:]], np.int32)


def prune(graph: Graph) -> None:
    """Remove operations, tensors, buffers and operator codes that no output needs."""
    main, model = graph.main, graph.model
    live = {int(t) for t in main.outputs}
    kept = []
    for operator in reversed(main.operators):
        if any(int(t) in live for t in operator.outputs):
            kept.append(operator)
            live |= {int(i) for i in operator.inputs if i >= 0}
    main.operators = kept[::-1]
    live |= {int(t) for t in main.inputs} | {int(t) for o in main.operators for t in o.outputs}
    order = sorted(live)
    place = {old: new for new, old in enumerate(order)} | {-1: -1}
    renumber: Callable[[Any], Any] = lambda indices: np.array([place[int(i)] for i in indices], np.int32)  # noqa: E731 - three uses below
    main.tensors = [main.tensors[i] for i in order]
    main.inputs, main.outputs = renumber(main.inputs), renumber(main.outputs)
    for operator in main.operators:
        operator.inputs, operator.outputs = renumber(operator.inputs), renumber(operator.outputs)
        operator.intermediates = None
    used = sorted({t.buffer for t in main.tensors} | {0})
    model.buffers = [model.buffers[b] for b in used]
    model.buffers[0].data = None
    for tensor in main.tensors:
        tensor.buffer = used.index(tensor.buffer)
        tensor.quantization = None
        tensor.hasRank = True
    codes = sorted({o.opcodeIndex for o in main.operators})
    model.operatorCodes = [model.operatorCodes[c] for c in codes]
    for entry in model.operatorCodes:
        # Quantizers read only this field, and old converters never set it.
        entry.builtinCode = max(entry.builtinCode or 0, entry.deprecatedBuiltinCode or 0)
    for operator in main.operators:
        operator.opcodeIndex = codes.index(operator.opcodeIndex)
    main.name = b"main"


def name_signature(graph: Graph, inputs: list[str], outputs: list[str]) -> None:
    """Give the graph one signature, `serving_default`, with these names."""

    def maps(names: list[str], tensors: Any) -> list[Any]:
        entries = []
        for name, index in zip(names, tensors, strict=True):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), int(index)
            entries.append(entry)
        return entries

    signature = schema.SignatureDefT()
    signature.signatureKey = b"serving_default"
    signature.subgraphIndex = 0
    signature.inputs = maps(inputs, graph.main.inputs)
    signature.outputs = maps(outputs, graph.main.outputs)
    graph.model.signatureDefs = [signature]

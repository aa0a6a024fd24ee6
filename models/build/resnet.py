"""dlib's face recognition network (a ResNet of 29 layers, after He et al., 2015) as a .tflite graph.

The weights come as dlib writes its own objects: nested layers in a format without an index. Every tensor in it begins
with the version (2) and four sizes, each an integer behind a byte that tells its length, so the tensors can be found
by these headers; their number, their total and each one's place in the architecture are checked, and a wrong guess
could not fit. Batch normalization is already folded into scale and shift per channel ("affine"); both go into the
convolution before them, and so does the subtraction of the mean colour.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from graph import Graph, Op

TENSORS, NUMBERS = 59, 5_614_592
VERSION = b"\x01\x02"
SIDE = 150
#: What dlib subtracts from red, green and blue; the difference is divided by 256.
MEAN = np.array([122.782, 117.001, 104.298])
#: The pixels that the graph takes: (x - OFFSET) / SCALE, as the other embedding network.
OFFSET, SCALE = 127.5, 128.0
#: Channels of each stage and blocks in it; every stage after the first begins with a block that halves the sides.
STAGES = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))
VALID, SAME = schema.Padding.VALID, schema.Padding.SAME
RELU, LINEAR = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.NONE


def read_resnet(path: Path) -> Graph:
    """The network in dlib's file `path`: input (1, 150, 150, 3), output (1, 128)."""
    content = path.read_bytes()
    tensors = list(_tensors(content))
    if len(tensors) != TENSORS or sum(t.size for t in tensors) != NUMBERS:
        raise SystemExit(f"{path.name}: {len(tensors)} tensors found, {TENSORS} were expected")
    return _Builder(iter(tensors)).build()


def _tensors(content: bytes) -> Iterator[Any]:
    """Every tensor of the file, in the order of the layers from the pixels on."""
    place = content.find(VERSION)
    while place >= 0:
        header = _sizes(content, place + len(VERSION))
        if header is None:
            place = content.find(VERSION, place + 1)
            continue
        (samples, maps), start = header
        count = samples * maps
        yield np.frombuffer(content, "<f4", count, start).reshape(samples, maps)
        place = content.find(VERSION, start + 4 * count)


def _sizes(content: bytes, place: int) -> tuple[tuple[int, int], int] | None:
    """The first two of four sizes and where they end; None if this is no header of a tensor of this network."""
    sizes = []
    for _ in range(4):
        length = content[place] if place < len(content) else 0
        if not 1 <= length <= 8:
            return None
        sizes.append(int.from_bytes(content[place + 1 : place + 1 + length], "little"))
        place += 1 + length
    samples, maps, *plane = sizes
    fits = plane == [1, 1] and samples >= 16 and maps >= 1 and 4 * samples * maps <= len(content) - place
    return ((samples, maps), place) if fits else None


class _Builder:
    """Puts operations one behind the other while it takes tensors from the file."""

    def __init__(self, tensors: Iterator[Any]) -> None:
        self._tensors = tensors
        model, subgraph, buffer = schema.ModelT(), schema.SubGraphT(), schema.BufferT()
        subgraph.tensors, subgraph.operators = [], []
        model.version, model.description = 3, b""
        model.subgraphs, model.buffers, model.operatorCodes = [subgraph], [buffer], []
        self._graph = Graph(model)

    def build(self) -> Graph:
        main = self._graph.main
        image = self._activation("image", (1, SIDE, SIDE, 3))
        x = self._convolution(image, 32, 7, 2, VALID, RELU, pixels=True)
        x = self._pool(Op.MAX_POOL_2D, x, 3)
        for stage, (channels, blocks) in enumerate(STAGES):
            for block in range(blocks):
                x = self._block(x, channels, halve=stage > 0 and block == 0)
        x = self._mean(x)
        x = self._matrix(x)
        if next(self._tensors, None) is not None:
            raise SystemExit("the file holds more tensors than the network has layers")
        main.inputs, main.outputs = np.array([image], np.int32), np.array([x], np.int32)
        return self._graph

    def _block(self, x: int, channels: int, *, halve: bool) -> int:
        """Two convolutions and a way around them, which shrinks by averaging; what is smaller is filled with zeros."""
        y = self._convolution(x, channels, 3, 2 if halve else 1, VALID if halve else SAME, RELU)
        y = self._convolution(y, channels, 3, 1, SAME, LINEAR)
        if halve:
            x = self._pool(Op.AVERAGE_POOL_2D, x, 2)
        shape = tuple(np.maximum(self._shape(x), self._shape(y)))
        return self._operation(Op.ADD, [self._fill(x, shape), self._fill(y, shape)], shape, _add())

    def _convolution(
        self, x: int, channels: int, kernel: int, stride: int, padding: int, activation: int, *, pixels: bool = False
    ) -> int:
        _, height, width, depth = self._shape(x)
        both = next(self._tensors).ravel().astype(np.float64)
        gain, shift = np.split(next(self._tensors).ravel().astype(np.float64), 2)
        weights = both[:-channels].reshape(channels, depth, kernel, kernel).transpose(0, 2, 3, 1)
        bias = both[-channels:]
        if pixels:
            # (x - MEAN) / 256 is the graph's own input times SCALE / 256, and a constant.
            bias = bias + (weights * (OFFSET - MEAN) / 256).sum(axis=(1, 2, 3))
            weights = weights * SCALE / 256
        weights, bias = weights * gain[:, None, None, None], bias * gain + shift
        taken = kernel - 1 if padding == VALID else 0
        size = tuple((side - taken - 1) // stride + 1 for side in (height, width))
        options = schema.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = padding, stride, stride
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = activation
        constants = [self._constant("weights", weights), self._constant("bias", bias)]
        return self._operation(Op.CONV_2D, [x, *constants], (1, *size, channels), options)

    def _pool(self, code: int, x: int, kernel: int) -> int:
        _, height, width, channels = self._shape(x)
        options = schema.Pool2DOptionsT()
        options.padding, options.strideH, options.strideW = VALID, 2, 2
        options.filterHeight = options.filterWidth = kernel
        size = tuple((side - kernel) // 2 + 1 for side in (height, width))
        return self._operation(code, [x], (1, *size, channels), options)

    def _fill(self, x: int, shape: tuple[int, ...]) -> int:
        missing = np.subtract(shape, self._shape(x))
        if not missing.any():
            return x
        margins = np.column_stack([np.zeros(4), missing]).astype(np.int32)
        return self._operation(Op.PAD, [x, self._constant("margins", margins)], shape, schema.PadOptionsT())

    def _mean(self, x: int) -> int:
        options = schema.ReducerOptionsT()
        axes = self._constant("axes", np.array([1, 2], np.int32))
        return self._operation(Op.MEAN, [x, axes], (1, self._shape(x)[-1]), options)

    def _matrix(self, x: int) -> int:
        weights = next(self._tensors).T
        options = schema.FullyConnectedOptionsT()
        inputs = [x, self._constant("weights", weights), -1]
        return self._operation(Op.FULLY_CONNECTED, inputs, (1, len(weights)), options)

    def _shape(self, x: int) -> tuple[int, ...]:
        return tuple(int(side) for side in self._graph.main.tensors[x].shape)

    def _activation(self, name: str, shape: tuple[int, ...]) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name.encode(), np.array(shape, np.int32)
        tensor.type, tensor.buffer = schema.TensorType.FLOAT32, 0
        self._graph.main.tensors.append(tensor)
        return len(self._graph.main.tensors) - 1

    def _constant(self, what: str, values: Any) -> int:
        name = f"layer{len(self._graph.main.operators)}/{what}"
        return self._graph.add_constant(name, values if values.dtype == np.int32 else values.astype(np.float32))

    def _operation(self, code: int, inputs: list[int], shape: tuple[int, ...], options: Any) -> int:
        main = self._graph.main
        output = self._activation(f"layer{len(main.operators)}", shape)
        operator = self._graph.operator(code, inputs, [output])
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        operator.builtinOptions = options
        main.operators.append(operator)
        return output


def _add() -> Any:
    options = schema.AddOptionsT()
    options.fusedActivationFunction = RELU
    return options

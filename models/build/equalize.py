"""Exact rewritings that make a network with PReLU fit for static int8: the same function, activations of even range.

Static int8 gives one scale to all channels of an activation. In MobileFaceNet PReLU slopes from -9 to 9 make ranges
differ a hundredfold between channels, and int8 drowns the narrow ones. After Nagel et al., *Data-Free Quantization
Through Weight Equalization and Bias Correction*, 2019; dividing a range between a layer and its successor after Xiao et
al., *SmoothQuant*, 2023.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from graph import Graph, Op

CONVOLUTIONS = (Op.CONV_2D, Op.DEPTHWISE_CONV_2D)
#: The range that counts: this quantile over the calibration pictures of each channel's largest magnitude.
QUANTILE = 0.98
LARGEST_FACTOR = 64.0


def equalize(source: Path, target: Path, inputs: Any) -> None:
    """Write `source` with slopes within ±1, even channels and no PRELU; `inputs` is (n, 1, h, w, 3) float32."""
    graph = Graph.read(source)
    ranges = _ranges(graph, source, inputs)
    made = graph.producers()
    for operator in graph.main.operators:
        if graph.code(operator) == Op.PRELU:
            before = int(operator.inputs[0])
            followers = _followers(graph, int(operator.outputs[0]))
            _tame_slopes(graph, operator, made[before], followers)
            _even_out(graph, made[before], followers, ranges[before])
    _split_prelu(graph, made)
    graph.write(target, ["image"], ["embedding"])


def _ranges(graph: Graph, source: Path, inputs: Any) -> dict[int, Any]:
    """The range of each channel of each PRELU's input."""
    interpreter = Interpreter(
        str(source),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    index = {detail["name"]: detail["index"] for detail in interpreter.get_tensor_details()}
    wanted = [int(o.inputs[0]) for o in graph.main.operators if graph.code(o) == Op.PRELU]
    names = {tensor: graph.main.tensors[tensor].name.decode() for tensor in wanted}
    found: dict[int, list[Any]] = {tensor: [] for tensor in wanted}
    for values in inputs:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
        interpreter.invoke()
        for tensor, name in names.items():
            activation = np.abs(interpreter.get_tensor(index[name]))
            found[tensor].append(activation.reshape(-1, activation.shape[-1]).max(axis=0))
    return {tensor: np.quantile(np.array(rows), QUANTILE, axis=0) for tensor, rows in found.items()}


def _followers(graph: Graph, tensor: int) -> list[Any]:
    followers = [o for o in graph.main.operators if tensor in {int(i) for i in o.inputs}]
    if any(graph.code(o) not in CONVOLUTIONS for o in followers):
        raise ValueError("a PRELU is followed by something else than convolutions")
    return followers


def _tame_slopes(graph: Graph, operator: Any, before: Any, followers: list[Any]) -> None:
    """PReLU with slope a of x is -a times PReLU with slope 1/a of -x: take that form where |a| > 1."""
    slope = graph.constant(operator.inputs[1]).ravel().astype(np.float64)
    steep = np.abs(slope) > 1
    _scale_output(graph, before, np.where(steep, -1.0, 1.0))
    for follower in followers:
        _scale_input(graph, follower, np.where(steep, -slope, 1.0))
    gentle = np.where(steep, 1 / np.where(steep, slope, 1.0), slope)
    graph.store(graph.main.tensors[int(operator.inputs[1])], gentle.reshape(1, 1, -1).astype(np.float32))


def _even_out(graph: Graph, before: Any, followers: list[Any], extent: Any) -> None:
    """Divide each channel by a factor and multiply it back in the next layer: PReLU lets positive factors through."""
    factor = np.maximum(extent, 1e-4)
    if any(graph.code(follower) == Op.CONV_2D for follower in followers):
        # A full convolution has one weight scale for all inputs of an output: it takes half of the burden.
        weights = np.max([np.abs(graph.constant(f.inputs[1])).max(axis=(0, 1, 2)) for f in followers], axis=0)
        factor = np.sqrt(factor / np.maximum(weights, 1e-6))
    factor = np.clip(factor / np.exp(np.log(factor).mean()), 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    _scale_output(graph, before, 1 / factor)
    for follower in followers:
        _scale_input(graph, follower, factor)


def _scale_output(graph: Graph, operator: Any, factor: Any) -> None:
    shape = (-1, 1, 1, 1) if graph.code(operator) == Op.CONV_2D else (1, 1, 1, -1)
    for place, by in ((1, factor.reshape(shape)), (2, factor)):
        values = graph.constant(operator.inputs[place]) * by
        graph.store(graph.main.tensors[int(operator.inputs[place])], values.astype(np.float32))


def _scale_input(graph: Graph, operator: Any, factor: Any) -> None:
    values = graph.constant(operator.inputs[1]) * factor.reshape(1, 1, 1, -1)
    graph.store(graph.main.tensors[int(operator.inputs[1])], values.astype(np.float32))


def _split_prelu(graph: Graph, made: dict[int, Any]) -> None:
    """Write each PRELU as `a x + relu((1 - a) x)`: integer kernels exist for these. Slopes must lie within ±1.

    Behind a depthwise convolution both terms are that convolution with other weights, and x itself is never rounded.
    """
    operators = []
    for operator in graph.main.operators:
        if graph.code(operator) != Op.PRELU:
            operators.append(operator)
            continue
        tensor, result = int(operator.inputs[0]), int(operator.outputs[0])
        slope = graph.constant(operator.inputs[1]).ravel()
        name = graph.main.tensors[result].name.decode()
        terms = [
            _term(graph, made[tensor], tensor, slope, name + "/linear", rectified=False),
            _term(graph, made[tensor], tensor, 1 - slope, name + "/rectified", rectified=True),
        ]
        total = graph.operator(Op.ADD, [int(term.outputs[0]) for term in terms], [result])
        total.builtinOptionsType, total.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
        operators += [*terms, total]
    graph.main.operators = operators


def _term(graph: Graph, before: Any, tensor: int, factor: Any, name: str, *, rectified: bool) -> Any:
    """A depthwise convolution that gives `factor * x`, rectified if asked."""
    if graph.code(before) == Op.DEPTHWISE_CONV_2D:
        source, options = int(before.inputs[0]), copy.copy(before.builtinOptions)
        weights = graph.constant(before.inputs[1]) * factor.reshape(1, 1, 1, -1)
        bias = graph.constant(before.inputs[2]) * factor
    else:
        source, options = tensor, schema.DepthwiseConv2DOptionsT()
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
        options.depthMultiplier, options.padding = 1, schema.Padding.VALID
        weights, bias = factor.reshape(1, 1, 1, -1), np.zeros(factor.size)
    kind = schema.ActivationFunctionType
    options.fusedActivationFunction = kind.RELU if rectified else kind.NONE
    output = schema.TensorT()
    output.name, output.type, output.buffer, output.hasRank = name.encode(), 0, 0, True
    output.shape = np.array(graph.main.tensors[tensor].shape, np.int32)
    graph.main.tensors.append(output)
    constants = [
        graph.add_constant(name + "/weights", weights.astype(np.float32)),
        graph.add_constant(name + "/bias", bias.astype(np.float32)),
    ]
    operator = graph.operator(Op.DEPTHWISE_CONV_2D, [source, *constants], [len(graph.main.tensors) - 1 - 2])
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.DepthwiseConv2DOptions, options
    return operator

"""A traced graph becomes the planned one: each step alone, on graphs made by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import exporter
from exporter.errors import ExportError
from exporter.planning.plan import Axis, GraphPlan, TensorPlan
from exporter.targets.onnx import conform
from exporter.targets.onnx.conform import finish_graph, weights_of
from exporter.targets.onnx.tracers import Trace
from exporter.targets.onnx.weights import WeightTensor

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
BATCH, SEQUENCE = Axis("batch"), Axis("sequence")


def model_of(nodes, inputs, outputs, *, initializers=(), inner=()) -> ir.Model:
    """Return a graph whose values are given as ``(name, type, shape)``."""
    described = [
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in values]
        for values in (inputs, outputs, inner)
    ]
    graph = helper.make_graph(nodes, "traced", described[0], described[1], list(initializers), value_info=described[2])
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))


def planned(inputs, outputs) -> GraphPlan:
    """Return a plan whose tensors are given as ``(name, dtype, shape)``."""
    tensors = [
        tuple(TensorPlan(name, dtype, shape, (name,)) for name, dtype, shape in side) for side in (inputs, outputs)
    ]
    return GraphPlan("decoder", "model.onnx", ("model.onnx",), None, {}, (), tensors[0], tensors[1], ())


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


PLAN = planned([("ids", "float32", (BATCH, 3))], [("logits", "float32", (BATCH, 3))])


def traced(shape=("s0", 3), outputs=("s0", 3), kind=FLOAT) -> ir.Model:
    return model_of([helper.make_node("Neg", ["x"], ["y"])], [("x", kind, shape)], [("y", kind, outputs)])


# Separate weights.


def test_weights_are_separated_from_a_graph_that_holds_them():
    held = helper.make_tensor("model.w", FLOAT, (3,), [1, 2, 3])
    model = model_of(
        [helper.make_node("Add", ["x", "model.w"], ["y"])],
        [("x", FLOAT, ("s0", 3))],
        [("y", FLOAT, ("s0", 3))],
        initializers=[held],
    )
    conform._separate_weights(model.graph, Trace(model, {"model.w": torch.ones(3)}), PLAN)
    assert not model.graph.initializers
    value = model.graph[0].inputs[1]
    assert (value.name, value.const_value) == ("model.w", None)


def test_weights_that_are_inputs_are_separated_from_the_declared_ones():
    values = [("x", FLOAT, ("s0", 3)), ("model.w", FLOAT, (3,))]
    model = model_of([helper.make_node("Add", ["x", "model.w"], ["y"])], values, [("y", FLOAT, ("s0", 3))])
    conform._separate_weights(model.graph, Trace(model, {"model.w": torch.ones(3)}), PLAN)
    assert [value.name for value in model.graph.inputs] == ["x"]
    assert model.graph[0].inputs[1].name == "model.w"


# Simplify.


def constant(name: str, values) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.asarray(values), name))


def test_shape_arithmetic_is_folded_and_debris_is_dropped():
    nodes = [
        constant("two", np.int64([2])),
        constant("three", np.int64([3])),
        helper.make_node("Mul", ["two", "three"], ["six"], doc_string="/home/somebody/model.py:7"),
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Reshape", ["same", "six"], ["y"], doc_string="/home/somebody/model.py:8"),
        helper.make_node("Exp", ["x"], ["unread"]),
    ]
    model = model_of(nodes, [("x", FLOAT, (2, 3))], [("y", FLOAT, (6,))])
    model.graph[4].metadata_props.update({"pkg.torch.onnx.name_scopes": "['', 'layer']", "source": "/home/somebody"})
    conform._simplify(model)
    (reshape,) = [node for node in model.graph if node.op_type != "Constant"]
    assert reshape.op_type == "Reshape"
    assert reshape.inputs[0].name == "x"
    assert ir.convenience.get_const_tensor(reshape.inputs[1]).numpy().tolist() == [6]
    assert reshape.doc_string is None
    # The names of modules stay; what else a tracer notes does not.
    assert dict(reshape.metadata_props) == {"pkg.torch.onnx.name_scopes": "['', 'layer']"}


def test_equal_computations_are_one():
    nodes = [helper.make_node("Exp", ["x"], [name]) for name in ("a", "b")]
    model = model_of([*nodes, helper.make_node("Add", ["a", "b"], ["y"])], [("x", FLOAT, (3,))], [("y", FLOAT, (3,))])
    conform._simplify(model)
    assert operators(model) == ["Exp", "Add"]
    assert model.graph[1].inputs[0] is model.graph[1].inputs[1]


@pytest.mark.parametrize(("size", "folds"), [(8, True), (5000, False)])
def test_a_small_fill_is_folded_and_a_large_one_is_not(size: int, folds: bool):
    fill = helper.make_node(
        "ConstantOfShape", ["shape"], ["filled"], value=helper.make_tensor("zero", FLOAT, (1,), [0])
    )
    nodes = [constant("shape", np.int64([size])), fill, helper.make_node("Add", ["x", "filled"], ["y"])]
    model = model_of(nodes, [("x", FLOAT, (size,))], [("y", FLOAT, (size,))])
    conform._simplify(model)
    assert ("ConstantOfShape" not in operators(model)) is folds


def test_constants_are_tensors():
    nodes = [
        helper.make_node("Constant", [], ["one"], value_int=4),
        helper.make_node("Constant", [], ["several"], value_floats=[1.0, 2.0]),
    ]
    model = model_of(nodes, [], [("one", INT64, ()), ("several", FLOAT, (2,))])
    conform._write_constants_as_tensors(model)
    assert [list(node.attributes) for node in model.graph] == [["value"], ["value"]]
    one, several = ReferenceEvaluator(ir.to_proto(model)).run(None, {})
    assert (one.shape, one.dtype, one.tolist()) == ((), np.int64, 4)
    assert (several.dtype, several.tolist()) == (np.float32, [1, 2])


# Names, axes and dtypes.


def test_inputs_and_outputs_have_their_planned_names_axes_and_dtypes():
    model = traced()
    conform._conform_values(model.graph, PLAN)
    (ids,), (logits,) = model.graph.inputs, model.graph.outputs
    assert (ids.name, logits.name) == ("ids", "logits")
    assert [str(ids.shape), str(logits.shape)] == ["[batch,3]", "[batch,3]"]
    assert ids.dtype == ir.DataType.FLOAT


def test_symbols_of_the_tracer_become_declared_dims_or_unknown():
    nodes = [helper.make_node("Exp", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["y"])]
    values = ("s0", 3), ("s7", 3)
    model = model_of(nodes, [("x", FLOAT, values[0])], [("y", FLOAT, values[0])], inner=[("a", FLOAT, values[0])])
    conform._conform_values(model.graph, PLAN)
    assert [getattr(dim, "value", dim) for dim in model.graph[0].outputs[0].shape] == ["batch", 3]
    shape = conform._rename_symbols(ir.Shape(["s0", "batch", "s7", 4, None]), {"s0": "batch"})
    assert [getattr(dim, "value", dim) for dim in shape] == ["batch", "batch", None, 4, None]


def test_an_inner_value_gives_way_to_a_declared_name():
    nodes = [helper.make_node("Exp", ["x"], ["logits"]), helper.make_node("Neg", ["logits"], ["y"])]
    model = model_of(nodes, [("x", FLOAT, ("s0", 3))], [("y", FLOAT, ("s0", 3))])
    conform._conform_values(model.graph, PLAN)
    assert model.graph[0].outputs[0].name == "logits_inner"
    assert model.graph[1].outputs[0].name == "logits"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (traced(shape=(2, 3)), "axis 0 of the input 'ids' is declared as 'batch', but the tracer baked it in as 2"),
        (
            traced(outputs=(2, 3)),
            "axis 0 of the output 'logits' is declared as 'batch', but the tracer baked it in as 2",
        ),
        (traced(shape=("s0", 4)), "axis 1 of the input 'ids' has length 4, and 3 is declared"),
        (traced(shape=("s0", 3, 1)), "the input 'ids' has 3 axes in the graph, and 2 are declared"),
        (traced(kind=INT64), "the input 'ids' is int64 in the graph, and float32 is declared"),
        (
            model_of([helper.make_node("Neg", ["x"], ["y"])], [("x", FLOAT, ("s0", 3))], []),
            "the tracer recorded 1 inputs and 0 outputs for 'decoder', where 1 and 1 are declared",
        ),
        (
            model_of(
                [constant("y", np.zeros((1, 3), np.float32))], [("x", FLOAT, ("s0", 3))], [("y", FLOAT, ("s0", 3))]
            ),
            "the graph of 'decoder' does not read its input 'ids': the model ignores it, or the tracer lost it",
        ),
    ],
    ids=["baked-in input", "baked-in output", "length", "axes", "dtype", "count", "unread"],
)
def test_a_tracer_that_contradicts_the_plan_is_an_error(model: ir.Model, message: str):
    with pytest.raises(ExportError) as caught:
        conform._conform_values(model.graph, PLAN)
    assert caught.value.message == message


def test_an_input_may_be_unread_where_the_spec_says_why():
    model = model_of(
        [helper.make_node("Neg", ["x"], ["y"])],
        [("x", FLOAT, ("s0", 3)), ("z", FLOAT, ("s0",))],
        [("y", FLOAT, ("s0", 3))],
    )
    unused = TensorPlan("mask", "float32", (BATCH,), ("mask",), unused="the model ignores it")
    graph = GraphPlan("decoder", "model.onnx", (), None, {}, (), (*PLAN.inputs, unused), PLAN.outputs, ())
    conform._conform_values(model.graph, graph)
    assert [value.name for value in model.graph.inputs] == ["ids", "mask"]


def test_every_output_is_a_value_of_its_own():
    model = model_of(
        [helper.make_node("Neg", ["x"], ["y"])],
        [("x", FLOAT, ("s0", 3))],
        [("y", FLOAT, ("s0", 3)), ("y", FLOAT, ("s0", 3)), ("x", FLOAT, ("s0", 3))],
    )
    names = ("logits", "again", "given")
    conform._conform_values(
        model.graph, planned([("ids", "float32", (BATCH, 3))], [(name, "float32", (BATCH, 3)) for name in names])
    )
    assert operators(model) == ["Neg", "Identity", "Identity"]
    assert [value.name for value in model.graph.outputs] == list(names)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    x = np.ones((2, 3), np.float32)
    outputs = ReferenceEvaluator(proto).run(None, {"ids": x})
    for output, expected in zip(outputs, (-x, -x, x), strict=True):
        np.testing.assert_array_equal(output, expected)


# Weights.


def reading(*names: str) -> ir.Model:
    """Return a graph that adds values without data to its input."""
    nodes, last = [], "x"
    for index, name in enumerate(names):
        nodes.append(helper.make_node("Add", [last, name], [f"sum{index}"]))
        last = f"sum{index}"
    values = [("x", FLOAT, ("s0", 3)), *((name, FLOAT, (3,)) for name in names)]
    model = model_of(nodes, values, [(last, FLOAT, ("s0", 3))])
    del model.graph.inputs[1:]
    return model


def test_weights_that_are_read_are_attached_by_the_name_they_have_in_the_checkpoint():
    model = reading("model.encoder.bias")
    weights = {"model.encoder.bias": torch.arange(3.0), "model.pooler.bias": torch.ones(3)}
    conform._attach_weights(model.graph, weights)
    (weight,) = weights_of(model)
    assert (weight.name, list(model.graph.initializers)) == ("encoder.bias", ["encoder.bias"])
    assert isinstance(weight, WeightTensor)
    assert weight.raw.tolist() == [0, 1, 2]


def test_tied_weights_are_written_once_and_equal_ones_are_not_tied():
    shared, equal = torch.ones(3), torch.ones(3)
    model = reading("model.embed", "model.head", "model.other")
    weights = {"model.embed": shared, "model.head": shared, "model.other": equal}
    conform._attach_weights(model.graph, weights)
    assert [weight.name for weight in weights_of(model)] == ["embed", "other"]
    assert model.graph[0].inputs[1] is model.graph[1].inputs[1]


def test_a_transposed_view_is_another_weight():
    matrix = torch.ones(3, 3)
    model = reading("model.a", "model.b")
    conform._attach_weights(model.graph, {"model.a": matrix, "model.b": matrix.T})
    assert [weight.name for weight in weights_of(model)] == ["a", "b"]


def test_initializers_are_in_order_of_their_names():
    model = reading("model.b", "model.a")
    conform._attach_weights(model.graph, {"model.b": torch.ones(3), "model.a": torch.zeros(3)})
    assert list(model.graph.initializers) == ["b", "a"]
    conform._sort_initializers(model.graph)
    assert list(model.graph.initializers) == ["a", "b"]


# Labels.


def test_a_file_says_who_made_it_and_is_no_newer_than_it_need_be():
    model = traced()
    model.opset_imports["pkg.unused"] = 1
    model.doc_string = "/home/somebody"
    conform._label(model, 18)
    assert (model.producer_name, model.producer_version) == ("exporter", exporter.__version__)
    assert dict(model.opset_imports) == {"": 18}
    assert (model.ir_version, model.doc_string, model.graph.name) == (8, None, "main")


def test_another_opset_than_asked_for_is_an_error():
    with pytest.raises(ExportError, match="the tracer wrote opset 18 where 17 was asked for"):
        conform._label(traced(), 17)


# All steps.


def test_a_finished_graph_computes_what_was_traced():
    nodes = [
        helper.make_node("Transpose", ["model.w"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["product"]),
        helper.make_node("Add", ["product", "model.b"], ["y"]),
    ]
    values = [("x", FLOAT, ("s0", 3)), ("model.w", FLOAT, (2, 3)), ("model.b", FLOAT, (2,))]
    model = model_of(nodes, values, [("y", FLOAT, ("s0", 2))])
    weights = {"model.w": torch.tensor([[1.0, 2, 3], [4, 5, 6]]), "model.b": torch.tensor([10.0, 20])}
    graph = planned([("ids", "float32", (BATCH, 3))], [("logits", "float32", (BATCH, 2))])
    finished = finish_graph(Trace(model, weights), graph, 18)
    assert operators(finished) == ["MatMul", "Add"]
    assert sorted(finished.graph.initializers) == ["b", "w.T"]
    proto = ir.to_proto(finished)
    onnx.checker.check_model(proto, full_check=True)
    (logits,) = ReferenceEvaluator(proto).run(["logits"], {"ids": np.ones((1, 3), np.float32)})
    np.testing.assert_array_equal(logits, [[16, 35]])


def test_a_fill_whose_shape_is_not_known_is_left_to_the_folder():
    node = SimpleNamespace(op_type="ConstantOfShape", inputs=[None])
    assert conform._is_small_fill(node) is None

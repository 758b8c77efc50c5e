"""Exported programs, looked at before torch opens them: whatever torch would run from one is refused."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from exporter.errors import UntrustedError
from exporter.targets.torch_export.inspection import check_expression, inspect_program

PROGRAM, SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
WEIGHTS, CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Embedding(5, 4)])
        self.register_buffer("steps", torch.arange(8))

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor]:
        ids, mask = tensors
        hidden = self.layers[0](self.layers[1](ids + self.steps[: ids.shape[1]] * 0)) * mask[..., None]
        return (torch.cat([hidden, hidden * torch.tensor([1.0, 2, 3, 4])], 1),)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.pt2"
    inputs = (torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3))
    dims = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    program = torch.export.export(
        Small().eval(),
        inputs,
        dynamic_shapes=((dims, dims),),
        prefer_deferred_runtime_asserts_over_guards=True,
    )
    for node in program.graph.nodes:
        for key in ("stack_trace", "source_fn_stack", "from_node", "custom"):
            node.meta.pop(key, None)
    torch.export.save(program, path)
    return path


@pytest.fixture
def change(exported: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return what copies the program with parts exchanged: by bytes, or by a function of the data in them."""

    def change(**parts: Any) -> Path:
        path = tmp_path / "model.pt2"
        with zipfile.ZipFile(exported) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
            given = {name.replace("__", "/"): part for name, part in parts.items()}
            for entry in old.infolist():
                name = entry.filename.partition("/")[2]
                data = old.read(entry)
                part = given.pop(name, data)
                if callable(part):
                    content = json.loads(data)
                    part(content)
                    part = json.dumps(content).encode()
                new.writestr(zipfile.ZipInfo(f"model/{name}"), part)
            for name, data in given.items():
                new.writestr(zipfile.ZipInfo(f"model/{name}"), data)
        return path

    return change


def test_a_program_that_torch_exported_passes(exported: Path, change: Callable[..., Path]) -> None:
    inspect_program(exported)
    path = change()
    inspect_program(path)
    assert torch.export.load(path).module()(torch.ones(1, 4, dtype=torch.int64), torch.ones(1, 4))[0].shape == (1, 8, 4)


class Runs:
    def __reduce__(self) -> Any:
        return (os.system, ("exit 1",))


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def legacy(value: Any) -> bytes:
    """Return what torch saved before it wrote archives: pickles behind one another."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "samples", [saved(Runs()), legacy(Runs()), legacy(torch.ones(1)), pickle.dumps(Runs()), b"nothing"], ids=range(5)
)
def test_sample_inputs_that_would_run_are_refused(samples: bytes, change: Callable[..., Path]) -> None:
    with pytest.raises(UntrustedError, match="sample inputs"):
        inspect_program(change(**{SAMPLES: samples}))


@pytest.mark.parametrize(
    "part",
    [
        "data/weights/model.pt",
        "data/constants/model.pt",
        "data/constants/custom_obj_0",
        "data/constants/opaque_obj_0",
        "data/aotinductor/model/a.wrapper.so",
        "models/other.json",
        "data/sample_inputs/other.pt",
        "extra/notes.txt",
        "version",
        "serialized_example_inputs.pt",
    ],
)
def test_a_part_that_torch_would_load_in_another_way_is_refused(part: str, change: Callable[..., Path]) -> None:
    with pytest.raises(UntrustedError, match="it holds"):
        inspect_program(change(**{part: saved(Runs())}))


def first_payload(config: Any) -> Any:
    return next(iter(config["config"].values()))


@pytest.mark.parametrize("config", [WEIGHTS, CONSTANTS])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda config: first_payload(config).update(use_pickle=True),
        lambda config: first_payload(config).update(path_name="custom_obj_0"),
        lambda config: first_payload(config).update(path_name="opaque_obj_0"),
        lambda config: first_payload(config).update(path_name="../../models/model.json"),
        lambda config: first_payload(config).update(path_name="weight_999"),
        lambda config: first_payload(config).pop("use_pickle"),
        lambda config: first_payload(config)["tensor_meta"]["device"].update(type="cuda"),
        lambda config: config.update(more=1),
        lambda config: config["config"].update(x=None),
    ],
)
def test_weights_are_bytes_and_no_pickles(
    spoil: Callable[[Any], None], config: str, change: Callable[..., Path]
) -> None:
    with pytest.raises(UntrustedError):
        inspect_program(change(**{config: spoil}))


def nodes(program: Any) -> Any:
    return program["graph_module"]["graph"]["nodes"]


def size(program: Any) -> Any:
    """Return the first open size of a tensor."""
    values = program["graph_module"]["graph"]["tensor_values"].values()
    return next(axis["as_expr"] for value in values for axis in value["sizes"] if "as_expr" in axis)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda program: nodes(program)[0].update(target="torch.os.system"),
        lambda program: nodes(program)[0].update(target="torch.hub.load"),
        lambda program: nodes(program)[0].update(target="torch.ops.load_library"),
        lambda program: nodes(program)[0].update(target="torch.ops.aten.from_file.default"),
        lambda program: nodes(program)[0].update(target="torch.ops.mine.thing.default"),
        lambda program: nodes(program)[0].update(target="torch.ops.higher_order.triton_kernel_wrapper_functional"),
        lambda program: nodes(program)[0].update(target="_operator.methodcaller"),
        lambda program: nodes(program)[0].update(target="#ns:op"),
        lambda program: nodes(program)[0].update(name="x = __import__('os')"),
        lambda program: nodes(program)[0]["inputs"][0].update(arg={"as_operator": "torch.os.system"}),
        lambda program: nodes(program)[0]["inputs"][0].update(arg={"as_custom_obj": {"name": "a", "class_fqn": "b"}}),
        lambda program: nodes(program)[0]["metadata"].update(stack_trace="anything"),
        lambda program: nodes(program)[0]["metadata"].update(source_fn_stack="a,torch.os.system"),
        lambda program: nodes(program)[0]["metadata"].update(torch_fn="a\nb"),
        lambda program: size(program).update(expr_str="__import__('os').system('exit 1')"),
        lambda program: program.update(guards_code=["__import__('os').system('exit 1')"]),
        lambda program: program["range_constraints"].update({"u99999999": {"min_val": 0, "max_val": None}}),
        lambda program: program["range_constraints"].update({"a'b": {"min_val": 0, "max_val": None}}),
        lambda program: program["graph_module"]["module_call_graph"][0]["signature"].update(in_spec="[2, {}]"),
        lambda program: program["graph_module"]["module_call_graph"][0]["signature"].update(
            out_spec='[1, {"type": "os.system", "context": "null", "children_spec": []}]'
        ),
        lambda program: program["graph_module"]["module_call_graph"][0]["signature"].update(
            in_spec='[1, {"type": "builtins.dict", "context": "[\\"a\'b\\"]", "children_spec": []}]'
        ),
        lambda program: program["graph_module"]["module_call_graph"][0]["signature"].update(forward_arg_names=["a b"]),
        lambda program: program["graph_module"]["metadata"].update(custom="{}"),
        lambda program: program["graph_module"]["graph"]["inputs"].append({"as_string": "'"}),
        lambda program: program["graph_module"]["graph"]["custom_obj_values"].update(a={"name": "a", "class_fqn": "b"}),
        lambda program: program["graph_module"]["treespec_namedtuple_fields"].update(a={"field_names": ["b"]}),
        lambda program: program["graph_module"]["signature"]["input_specs"][0].update(custom_obj={}),
        lambda program: program.update(graph_module=[]),
        lambda program: program.update(unheard_of="x"),
        lambda program: program.update(torch_version="x; y"),
    ],
)
def test_a_program_with_a_text_that_torch_would_act_on_is_refused(
    spoil: Callable[[Any], None], change: Callable[..., Path]
) -> None:
    with pytest.raises(UntrustedError, match=r"model\.pt2 is not opened"):
        inspect_program(change(**{PROGRAM: spoil}))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"[" * 99999, b'"text"', b"\xff"])
def test_a_program_that_is_none_is_refused(data: bytes, change: Callable[..., Path]) -> None:
    with pytest.raises(UntrustedError):
        inspect_program(change(**{PROGRAM: data}))


def test_what_aotinductor_compiled_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UntrustedError, match="native code, compiled by AOTInductor"):
        inspect_program(tmp_path / "model.aoti.pt2")


@pytest.mark.parametrize("data", [b"", b"PK", pickle.dumps(Runs()), legacy(torch.ones(1))], ids=range(4))
def test_a_file_that_is_no_archive_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(data)
    with pytest.raises(UntrustedError):
        inspect_program(tmp_path / "model.pt2")


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s0', positive=True, integer=True)",
        "Mul(Integer(37), Symbol('s0', positive=True, integer=True))",
        "Add(Symbol('s1', integer=True), Integer(-3))",
        "Pow(Symbol('s0', positive=True, integer=True), Integer(2))",
        "FloorDiv(Symbol('s0', positive=True, integer=True), Integer(2))",
        "Float('0.5', precision=53)",
        "s0 + 1",
        "2*s0",
        "Max(1, u0)",
        "Eq(s0, 3)",
        "-s0//2",
    ],
)
def test_sizes_are_arithmetic(text: str) -> None:
    check_expression("expr_str", text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('x')",
        "eval('1')",
        "open('f')",
        "Symbol('__import__')",
        "Symbol(open('f'))",
        "Symbol('s0', positive=eval('1'))",
        "s0.__class__",
        "[s0]",
        "(lambda: 1)()",
        "s0 if s1 else 2",
        "9**9**9",
        "Pow(9, Pow(9, 9))",
        "Pow(Integer(10), Integer(1000000000))",
        "Pow(2)",
        "factorial(99999)",
        "Add('1', 2)",
        "f'{s0}'",
        "s0 +",
        "+" * 30_000,
        "(" * 5_000,
        "-" * 9_000 + "1",
        "",
        "s0\0",
    ],
)
def test_sizes_that_are_more_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        check_expression("expr_str", text)

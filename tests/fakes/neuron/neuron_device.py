"""A Neuron device that is this processor. Only a process that imports this module can load its programs.

A program is TorchScript whose operators of the namespace ``neuron_stand_in`` hold its shapes. As on the real device, a
program refuses tensors of any other shape; with dynamic batching it splits and pads a batch into pieces as large as the
batch it was compiled for.

``NEURON_STAND_IN_DEVICE=none`` in the environment makes a machine without the device, and ``NEURON_STAND_IN_FAILURE`` a
compiler that fails with that text.
"""

import argparse
import copy
import os
import shlex
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

CASTS = {"bf16": torch.bfloat16, "fp16": torch.float16, "tf32": torch.float16}
_LIBRARY = torch.library.Library("neuron_stand_in", "DEF")
_LIBRARY.define("expect(Tensor tensor, int[] shape) -> Tensor")
_LIBRARY.define("piece(Tensor tensor, int start, int size) -> Tensor")


def has_device():
    return os.environ.get("NEURON_STAND_IN_DEVICE") != "none"


def _expect(tensor, shape):
    if list(tensor.shape) != list(shape):
        raise ValueError(f"the program takes {list(shape)}, and was given {list(tensor.shape)}")
    return tensor.clone()


def _piece(tensor, start, size):
    if not has_device():
        raise RuntimeError("no Neuron device")
    rows = tensor[start : start + size]
    return torch.cat([rows, rows[-1:].expand(size - len(rows), *rows.shape[1:])])


_LIBRARY.impl("expect", _expect, "CompositeExplicitAutograd")
_LIBRARY.impl("piece", _piece, "CompositeExplicitAutograd")


class _Fixed(nn.Module):
    """Refuses tensors of other shapes than the example's."""

    def __init__(self, func, inputs):
        super().__init__()
        self.func = func
        self.shapes = [list(tensor.shape) for tensor in inputs]

    def forward(self, *tensors):
        expect = torch.ops.neuron_stand_in.expect
        return self.func(*(expect(tensor, shape) for tensor, shape in zip(tensors, self.shapes, strict=True)))


class _Program(nn.Module):
    def __init__(self, body, batch):
        super().__init__()
        self.body = body
        self.batch = batch
        self.dynamic = False


def make_program(func, inputs, *, cast=None, inline=True):
    """Record a function at the shapes of its inputs."""
    if cast is not None:
        func = _rounded(func, cast)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = torch.jit.trace(_Fixed(func, inputs).eval(), inputs, check_trace=False, strict=False)
        outputs = len(body(*inputs))
        program = torch.jit.script(_Program(body, inputs[0].shape[0]).eval())
        program.define(_source(len(inputs), outputs))
        if inline:
            program = torch.jit.freeze(program, preserved_attrs=["dynamic"], optimize_numerics=False)
    return program


def _rounded(func, cast):
    copied = copy.deepcopy(func)
    for parameter in copied.parameters():
        if parameter.dtype == torch.float32:
            parameter.data = parameter.data.to(cast).float()
    return copied


def _source(inputs, outputs):
    names = [f"a{index}" for index in range(inputs)]
    whole = [f"torch.ops.neuron_stand_in.piece({name}, 0, {name}.size(0))" for name in names]
    pieces = [f"torch.ops.neuron_stand_in.piece({name}, start, self.batch)" for name in names]
    lines = [
        f"def forward(self, {', '.join(f'{name}: Tensor' for name in names)}):",
        "    if not self.dynamic:",
        f"        return self.body({', '.join(whole)})",
        "    rows = a0.size(0)",
        *(f"    assert {name}.size(0) == rows, 'the batches differ'" for name in names[1:]),
        *(f"    o{index}: List[Tensor] = []" for index in range(outputs)),
        "    for start in range(0, rows, self.batch):",
        f"        result = self.body({', '.join(pieces)})",
        *(f"        o{index}.append(result[{index}])" for index in range(outputs)),
        f"    return ({' '.join(f'torch.cat(o{index})[:rows],' for index in range(outputs))})",
    ]
    return "\n".join(lines) + "\n"


def run_compiler(name, parser, compiler_args, compiler_workdir):
    """Read a compiler's arguments, leave files in its work directory, and return what was asked for."""
    arguments = shlex.split(compiler_args) if isinstance(compiler_args, str) else list(compiler_args or [])
    folder = Path(compiler_workdir or tempfile.mkdtemp(prefix="neuron-"))
    (folder / "command.txt").write_text(shlex.join([name, "compile", "graph.hlo", *arguments]) + "\n", "utf-8")
    try:
        asked = parser.parse_args(arguments)
    except argparse.ArgumentError as error:
        raise RuntimeError(f"{name}: {error}") from error
    if "NEURON_STAND_IN_FAILURE" in os.environ:
        (folder / "graph.neff.part").write_bytes(b"half a program")
        raise RuntimeError(f"{name} terminated with status 70: {os.environ['NEURON_STAND_IN_FAILURE']}")
    return asked


class Arguments(argparse.ArgumentParser):
    """Raises where argparse would leave."""

    def __init__(self):
        super().__init__(exit_on_error=False, add_help=False, allow_abbrev=False)

    def error(self, message):
        raise argparse.ArgumentError(None, message)

"""A stand-in for the package of Inf2 and Trn machines: its functions with their signatures, run by this processor.

The real package records with torch-xla, so that `torch.jit.is_tracing` is False meanwhile and transformers drops masks.
The stand-in records with TorchScript and makes `is_tracing` False, so that transformers does the same.
"""

from unittest import mock

import torch
from neuron_device import CASTS, Arguments, has_device, make_program, run_compiler


def _parser():
    parser = Arguments()
    parser.add_argument("--target", choices=["inf2", "trn1", "trn1n", "trn2"])
    parser.add_argument("--model-type", choices=["generic", "transformer", "unet-inference"])
    parser.add_argument("--auto-cast", choices=["matmult", "all", "none"])
    parser.add_argument("--auto-cast-type", choices=["bf16", "fp16", "tf32", "fp8_e4m3"], default="bf16")
    parser.add_argument("--optlevel", "-O", choices=["1", "2", "3"])
    return parser


def trace(
    func,
    example_inputs,
    *_,
    input_output_aliases={},  # noqa: B006 - the signature of the real one
    compiler_workdir=None,
    compiler_args=None,
    partitioner_config=None,
    inline_weights_to_neff=True,
    cpu_backend=False,
):
    if _ or input_output_aliases or partitioner_config is not None:
        raise TypeError("not used here")
    if not (cpu_backend or has_device()):
        raise RuntimeError("no Neuron device was found: compile with cpu_backend=True")
    asked = run_compiler("neuronx-cc", _parser(), compiler_args, compiler_workdir)
    cast = None if asked.auto_cast == "none" else CASTS[asked.auto_cast_type]
    with mock.patch.object(torch.jit, "is_tracing", return_value=False):
        return make_program(func, tuple(example_inputs), cast=cast, inline=inline_weights_to_neff)


def dynamic_batch(neuron_script):
    neuron_script.dynamic = True
    return neuron_script

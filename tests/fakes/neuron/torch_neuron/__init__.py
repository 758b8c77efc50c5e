"""A stand-in for the package of Inf1 machines, which records with `torch.jit.trace` in everybody's sight."""

from neuron_device import CASTS, Arguments, make_program, run_compiler

_FAST_MATH = [
    "all",
    "none",
    "fp32-cast-all",
    "fp32-cast-all-fp16",
    "fp32-cast-matmult",
    "fp32-cast-matmult-bf16",
    "fp32-cast-matmult-fp16",
]


def _parser():
    parser = Arguments()
    parser.add_argument("--fast-math", choices=_FAST_MATH, default="all")
    parser.add_argument("--neuroncore-pipeline-cores", type=int, default=1)
    return parser


def trace(
    model,
    example_inputs,
    compiler_args=None,
    compiler_timeout=None,
    compiler_workdir=None,
    subgraph_builder_function=None,
    minimum_segment_size=2,
    single_fusion_ratio_threshold=0.6,
    fallback=True,
    dynamic_batch_size=False,
    optimizations=None,
    **kwargs,
):
    if set(kwargs) - {"strict", "check_trace"}:
        raise TypeError(f"torch.jit.trace takes no {sorted(kwargs)}")
    asked = run_compiler("neuron-cc", _parser(), compiler_args, compiler_workdir)
    # Even with `none` the device multiplies matrices in bfloat16.
    cast = CASTS["fp16" if asked.fast_math.endswith("fp16") else "bf16"]
    program = make_program(model, tuple(example_inputs), cast=cast)
    program.dynamic = dynamic_batch_size
    return program

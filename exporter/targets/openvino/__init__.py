"""The target OpenVINO: its intermediate representation (``.xml``, with weights in ``.bin``) for CPUs, GPUs and NPUs.

A graph is recorded as ONNX, made the planned one, and read by OpenVINO's own frontend; so what is known about tracers,
opsets and patches holds here too.
"""

from __future__ import annotations

from pathlib import Path

from exporter.planning.plan import GraphPlan, Plan
from exporter.planning.target import Exporter, Flag, Session, Settings, Target
from exporter.targets.onnx import OPSETS
from exporter.versions import install_command

HELP = f"install it with: {install_command('openvino')}"


def _load_exporter() -> Exporter:
    from exporter.targets.openvino import exporter

    return exporter


def _open_session(path: Path, plan: Plan, *, shipped: bool = False) -> Session:
    from exporter.targets.openvino.session import OpenVinoSession

    return OpenVinoSession(path)


def _check_structure(directory: Path, graph: GraphPlan, plan: Plan) -> list[str]:
    from exporter.targets.openvino.structure import check_structure

    return check_structure(directory / graph.file, graph)


def _inspect(path: Path) -> None:
    from exporter.targets.openvino.inspection import inspect_representation

    inspect_representation(path)


def _packages(_: Settings) -> tuple[str, ...]:
    return ("openvino",)


def _computed_dtype(settings: Settings, dtype: str) -> str:
    """Return the dtype whose bound holds: results of weights rounded to float16 are as exact as those in float16."""
    return "float16" if settings.get("compress_to_fp16") and dtype == "float32" else dtype


TARGET = Target(
    name="openvino",
    suffix=".xml",
    library="openvino",
    card_template=Path(__file__).with_name("card.md.jinja"),
    load_exporter=_load_exporter,
    open_session=_open_session,
    check_structure=_check_structure,
    opsets=OPSETS,
    inspect=_inspect,
    flags=(
        Flag(
            "compress_to_fp16",
            bool,
            "write float32 weights as float16; inputs, outputs and computation stay float32.",
            dtypes=("float32",),
        ),
    ),
    refused_options={
        "merged": "the clients of merged decoders load ONNX",
        "weights": "its weights are always in a .bin beside the .xml",
    },
    help=HELP,
    build_modules=_packages,
    packages=_packages,
    computed_dtype=_computed_dtype,
)

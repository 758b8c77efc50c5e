"""The target ONNX: graphs in operators that every runtime knows, opened in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from exporter.planning.plan import GraphPlan, Plan
from exporter.planning.target import Exporter, Session, Target

if TYPE_CHECKING:
    from collections.abc import Mapping


def _load_exporter() -> Exporter:
    from exporter.targets.onnx import exporter

    return exporter


def _open_session(path: Path, plan: Plan, *, shipped: bool = False) -> Session:
    from exporter.targets.onnx.session import open_session

    return open_session(path, plan.model.dtype, prepack=shipped)


def _has_shipped_form(path: Path, plan: Plan) -> bool:
    from exporter.targets.onnx.session import has_shipped_form

    return has_shipped_form(path, plan.model.dtype)


def _check_structure(directory: Path, graph: GraphPlan, plan: Plan) -> list[str]:
    from exporter.targets.onnx.structure import check_structure

    return check_structure(directory / graph.file, graph, plan)


def _inspect(path: Path) -> None:
    from exporter.targets.onnx.inspection import inspect_model

    inspect_model(path)


# What each tracer can write; asked for more, it silently writes something else.
OPSETS: Mapping[str, range] = {"torchscript": range(11, 21), "dynamo": range(18, 24)}

TARGET = Target(
    name="onnx",
    suffix=".onnx",
    library="onnx",
    card_template=Path(__file__).with_name("card.md.jinja"),
    load_exporter=_load_exporter,
    open_session=_open_session,
    check_structure=_check_structure,
    has_shipped_form=_has_shipped_form,
    opsets=OPSETS,
    inspect=_inspect,
)

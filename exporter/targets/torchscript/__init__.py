"""The target TorchScript: a traced program for libtorch and Python, without the model's code."""

from __future__ import annotations

from pathlib import Path

from exporter.planning.target import Exporter, Flag, Target
from exporter.targets.torch_program import TORCH_PROGRAM, session_opener


def _load_exporter() -> Exporter:
    from exporter.targets.torchscript import exporter

    return exporter


def _inspect(path: Path) -> None:
    from exporter.targets.torchscript.inspection import inspect_script

    inspect_script(path)


TARGET = Target(
    name="torchscript",
    suffix=".pt",
    library="pytorch",
    card_template=Path(__file__).with_name("card.md.jinja"),
    load_exporter=_load_exporter,
    open_session=session_opener(),
    tracer="torchscript",
    flags=(
        Flag("untie", bool, "give weights that are tied in the model a copy each."),
        Flag("freeze", bool, "write weights into the graph as constants and simplify it."),
    ),
    inspect=_inspect,
    **TORCH_PROGRAM,
)

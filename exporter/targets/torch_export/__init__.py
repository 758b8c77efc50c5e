"""The target torch.export: an exported program, and with ``--aoti`` what AOTInductor compiles it to."""

from __future__ import annotations

from pathlib import Path

from exporter.planning.target import Exporter, Flag, Settings, Target
from exporter.targets.torch_program import TORCH_PROGRAM, session_opener
from exporter.targets.torch_program.process import COMPILED, PROGRAM


def _load_exporter() -> Exporter:
    from exporter.targets.torch_export import exporter

    return exporter


def _files(file: str, settings: Settings) -> tuple[str, ...]:
    return (file, file.removesuffix(PROGRAM) + COMPILED) if settings.get("aoti") else (file,)


def _inspect(path: Path) -> None:
    from exporter.targets.torch_export.inspection import inspect_program

    inspect_program(path)


TARGET = Target(
    name="torch-export",
    suffix=PROGRAM,
    library="pytorch",
    card_template=Path(__file__).with_name("card.md.jinja"),
    load_exporter=_load_exporter,
    open_session=session_opener(),
    tracer="dynamo",
    flags=(Flag("aoti", bool, "compile with AOTInductor, for this kind of processor (needs a C++ compiler)."),),
    files=_files,
    inspect=_inspect,
    **TORCH_PROGRAM,
)

"""The API is typed for its users: mypy sees its types and refuses a wrong argument."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from commands import REPOSITORY

import exporter

PROGRAM = """\
import exporter

results = exporter.build("bert", task="fill-mask", output="out", opset=17, dims={"batch": 1}, settings={"freeze": True})
reveal_type(results)
reveal_type(results[0].report)
reveal_type(exporter.plan("bert", "fill-mask", model="m", trust_remote_code=True))
reveal_type(exporter.verify("out", model="m", revision="main"))
reveal_type(exporter.lint("specs"))
reveal_type(exporter.load_spec("bert"))
reveal_type(exporter.ExportConfig("bert", task="fill-mask").opset)
reveal_type(exporter.__version__)
try:
    exporter.build()
except exporter.SpecError as error:
    reveal_type(error.diagnostics)
except exporter.VerificationError as error:
    reveal_type(error.report)
exporter.build("bert", jobs="two")
exporter.build("bert", opset="17")
exporter.build("bert", opsett=17)
exporter.plan("bert", 3)
exporter.verify("out", framework=1)
"""


def test_mypy_sees_the_types_of_the_api(tmp_path: Path):
    (tmp_path / "program.py").write_text(PROGRAM, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--ignore-missing-imports", "program.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    lines = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    revealed = [line.split('"')[1] for line in lines if "Revealed type" in line]
    assert [kind.replace("builtins.", "") for kind in revealed] == [
        "list[exporter.api.BuildResult]",
        "exporter.verification.report.Report | None",
        "exporter.planning.plan.Plan",
        "exporter.verification.report.Report",
        "exporter.language.linting.LintResult",
        "exporter.language.spec.Spec",
        "int | None",
        "str",
        "tuple[exporter.language.diagnostics.Diagnostic, ...]",
        "exporter.verification.report.Report",
    ], done.stdout + done.stderr
    errors = [line for line in lines if line.startswith("error:")]
    assert len(errors) == 5, done.stdout
    for error, words in zip(errors, ("jobs", "opset", "opsett", "plan", "framework"), strict=True):
        assert words in error


def test_every_public_name_is_there_and_the_package_says_that_it_is_typed():
    for name in exporter.__all__:
        assert getattr(exporter, name).__module__.startswith("exporter.")
    assert (Path(exporter.__file__).parent / "py.typed").is_file()
    for error in ("CheckpointError", "EngineError", "ExportError", "SpecError", "UsageError", "VerificationError"):
        assert issubclass(getattr(exporter, error), exporter.ExporterError)

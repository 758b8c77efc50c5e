"""What the tests of the command line share: ways to run a command, an earlier artifact, and values to render."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from artifact_files import occupy
from click.testing import CliRunner, Result

import exporter
from exporter.building.pool import Outcome
from exporter.building.request import Request
from exporter.building.requests import Build
from exporter.cli import manner
from exporter.cli.main import cli, main
from exporter.planning.plan import Plan
from exporter.verification.report import Comparison, Report


@pytest.fixture(autouse=True)
def usual_manner(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test begin and leave as a process does, which speaks as usual; in others, one run is one process."""
    monkeypatch.delenv("EXPORTER_VERBOSE", raising=False)
    token = manner._CURRENT.set(manner.Manner())
    yield
    manner._CURRENT.reset(token)


@pytest.fixture
def invoke() -> Callable[..., Result]:
    """Run a command that is served; its exit code is the result's `return_value`."""

    def invoke(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(cli, list(map(str, arguments)), standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return result

    return invoke


@pytest.fixture
def refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail without starting a worker; return what it said."""

    def no_worker(*_: object, **__: object) -> None:
        raise AssertionError("work was started for a request that cannot be served")

    def refuse(code: int | tuple[int, ...], *arguments: str | Path) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(subprocess, "Popen", no_worker)
        monkeypatch.setattr(sys, "argv", ["exporter", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        said = captured.err + captured.out
        assert left.value.code in (code if isinstance(code, tuple) else (code,)), said
        assert "Traceback" not in said
        assert re.search("error|Error", said), said
        return said

    return refuse


def read_tree(directory: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes | None]]:
    """Return everything below a directory: the bytes of files, None for directories."""
    return read_tree


@pytest.fixture
def intact(tmp_path: Path) -> Callable[[], None]:
    """Put an earlier artifact at ``out/artifact``; return a check that it is as it was, byte for byte and alone."""
    occupy(tmp_path / "out" / "artifact")
    before = read_tree(tmp_path / "out")

    def check() -> None:
        assert read_tree(tmp_path / "out") == before

    return check


@pytest.fixture(scope="session")
def plan() -> Plan:
    # The bound is the test's own: that of the spec moves with what is measured.
    return exporter.plan("bert", "fill-mask", atol=1e-5, rtol=1e-5)


@pytest.fixture
def report(plan: Plan) -> Report:
    """What a verification measures that passes: one output at every point, at a tenth of its bound or less."""
    comparisons = tuple(
        Comparison("model", "logits", point.name, point.sizes, 0, (2, 8, 99), max_abs=1e-6 / (1 + index), share=0.1)
        for index, point in enumerate(plan.sizes.points)
    )
    return Report("onnxruntime 1.0", plan.bound.atol, plan.bound.rtol, comparisons, ())


@pytest.fixture
def planned() -> Build:
    """One build: bert's reference for one task."""
    request = Request(spec="bert", tasks=("fill-mask",), targets=("onnx",), output=Path("out"))
    return Build(request, "bert", "asked for")


@pytest.fixture
def built(planned: Build, plan: Plan, report: Report) -> Outcome:
    """How a build ends that succeeds."""
    return Outcome(planned, 2.345, plan, report, {"model.onnx": 12_345, "manifest.json": 10}, "BertForMaskedLM")

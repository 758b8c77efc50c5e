"""What fails in a worker reaches callers as it was raised there, and a worker that dies or raves is told clearly."""

from __future__ import annotations

import io
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import SPECS
from safetensors.torch import load_file, save_file

import exporter
from exporter.building import worker
from exporter.building.events import Ended, Failed, Job, Ready, Stage, error_from_data, event_from_line, to_line
from exporter.building.job import build_artifact
from exporter.building.request import make_request
from exporter.building.requests import plan_builds
from exporter.errors import ExporterError

MakeStub = Callable[..., None]
# A job that is built.
MADE = "return made(job)"


def error_of_worker(name: str | Path, options: dict[str, Any], output: Path) -> ExporterError:
    """Return what `exporter.build` raises for a job that fails in its worker; nothing may be left of it."""
    said: list[str] = []
    with pytest.raises(ExporterError) as failure:
        exporter.build(name, output=output, progress=said.append, **options)
    assert not output.exists()
    assert not list(output.parent.glob(".*.tmp"))
    return failure.value


def error_of_job(name: str | Path, options: dict[str, Any], staging: Path) -> ExporterError:
    """Return what the same job raises in this process."""
    given = {"tasks" if key == "task" else key: (value,) if key == "task" else value for key, value in options.items()}
    (build,) = plan_builds([str(name)], {**given, "output": staging})
    staging.mkdir()
    with pytest.raises(ExporterError) as failure:
        build_artifact(Job(build.request, staging), lambda text: None)
    return failure.value


def check_same(error: ExporterError, other: ExporterError, kind: type[ExporterError]) -> None:
    assert type(error) is type(other) is kind
    assert vars(error) == vars(other)
    assert (error.args, str(error), error.exit_code) == (other.args, str(other), other.exit_code)
    assert "\n" not in (error.help or "")


@pytest.fixture
def unsound_spec(tmp_path: Path) -> Path:
    """A spec with an expression that no config of its architecture has a value for."""
    shutil.copytree(SPECS, tmp_path / "specs")
    path = tmp_path / "specs" / "bert.yaml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("config.type_vocab_size", "config.no_such_size"), "utf-8")
    return path


def test_a_spec_error_keeps_its_findings(unsound_spec: Path, shared_worker: None, tmp_path: Path):
    options: dict[str, Any] = {"task": "fill-mask"}
    error = error_of_worker(unsound_spec, options, tmp_path / "out")
    check_same(error, error_of_job(unsound_spec, options, tmp_path / "staging"), exporter.SpecError)
    with pytest.raises(exporter.SpecError) as planned:
        exporter.plan(unsound_spec, "fill-mask")
    check_same(error, planned.value, exporter.SpecError)
    assert isinstance(error, exporter.SpecError)
    (finding,) = error.diagnostics
    assert "no_such_size" in finding.message
    # The text travels too, so that the line can be shown with a caret under it.
    assert finding.span.source.text == unsound_spec.read_text("utf-8")
    assert "no_such_size" in finding.span.source.line(finding.span.line)


def test_a_checkpoint_error_names_what_is_missing(masked_lm: Path, shared_worker: None, tmp_path: Path):
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(masked_lm, checkpoint)
    weights = load_file(checkpoint / "model.safetensors")
    lost = next(name for name in weights if name.endswith("layer.1.output.dense.weight"))
    save_file(
        {name: weight for name, weight in weights.items() if name != lost},
        checkpoint / "model.safetensors",
        {"format": "pt"},
    )
    options: dict[str, Any] = {"task": "fill-mask", "model": str(checkpoint)}
    error = error_of_worker("bert", options, tmp_path / "out")
    check_same(error, error_of_job("bert", options, tmp_path / "staging"), exporter.CheckpointError)
    assert "layer.1.output.dense.weight" in error.message


def test_a_usage_error_keeps_its_help_and_exit_code(shared_worker: None, tmp_path: Path):
    options: dict[str, Any] = {"task": "fill-mask", "dims": {"sequences": 8}}
    error = error_of_worker("bert", options, tmp_path / "out")
    check_same(error, error_of_job("bert", options, tmp_path / "staging"), exporter.UsageError)
    with pytest.raises(exporter.UsageError) as planned:
        exporter.plan("bert", "fill-mask", dims={"sequences": 8})
    check_same(error, planned.value, exporter.UsageError)
    assert error.help is not None
    assert error.exit_code == 2


def test_an_export_error_keeps_its_help(shared_worker: None, tmp_path: Path):
    options: dict[str, Any] = {"task": "fill-mask", "dims": {"sequence": 500}}
    error = error_of_worker("bert", options, tmp_path / "out")
    check_same(error, error_of_job("bert", options, tmp_path / "staging"), exporter.ExportError)
    assert "sequence=500" in str(error.help)


def test_a_verification_error_keeps_its_report(shared_worker: None, tmp_path: Path):
    options: dict[str, Any] = {"task": "fill-mask", "atol": 0.0, "rtol": 0.0}
    error = error_of_worker("bert", options, tmp_path / "out")
    other = error_of_job("bert", options, tmp_path / "staging")
    assert isinstance(error, exporter.VerificationError)
    assert isinstance(other, exporter.VerificationError)
    assert (error.help, error.exit_code) == (other.help, other.exit_code)
    # Two processes round the last bit differently: what was measured is compared without its numbers.
    assert replace(error.report, comparisons=()) == replace(other.report, comparisons=())
    places = [
        [(each.graph, each.output, each.point, each.sizes, each.seed, each.shape, each.problem) for each in comparisons]
        for comparisons in (error.report.comparisons, other.report.comparisons)
    ]
    assert places[0] == places[1]
    # Each message tells of the numbers in the report beside it, so none was lost on the way.
    plan = exporter.plan("bert", "fill-mask", atol=0.0, rtol=0.0)
    for failure in (error, other):
        assert failure.message == exporter.VerificationError.of(failure.report, plan).message
    assert not error.report.passed
    assert {comparison.output for comparison in error.report.comparisons} == {"logits"}
    assert (error.report.atol, error.report.rtol) == (0, 0)


# What follows runs workers whose jobs are the test's own.


def build_stub(tmp_path: Path) -> ExporterError:
    with pytest.raises(ExporterError) as failure:
        exporter.build("bert", task="fill-mask", output=tmp_path / "out")
    assert not list((tmp_path / "out").parent.glob(".*.tmp"))
    return failure.value


def read_log(error: ExporterError) -> str:
    """Return the log that an error names, and remove it."""
    help_ = error.help or ""
    assert help_.startswith("please report it with the log: ")
    path = Path(help_.rpartition(": ")[2])
    text = path.read_text("utf-8")
    path.unlink()
    return text


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("raise ZeroDivisionError('division by nothing')", "a bug in exporter: ZeroDivisionError: division by nothing"),
        ("raise AssertionError", "a bug in exporter: AssertionError"),
        ("raise errors.EngineError('it does not fit')", "a bug in exporter: it does not fit"),
        ("os._exit(5)", "the worker died (status 5)"),
        ("sys.exit(7)", "the worker died (status 3)"),
        ("os.kill(os.getpid(), signal.SIGSEGV); time.sleep(60)", f"the worker died (status -{signal.SIGSEGV.value})"),
    ],
)
def test_a_bug_in_a_job_is_an_engine_error_that_names_the_log(
    job: str, message: str, stub_worker: MakeStub, tmp_path: Path
):
    stub_worker(f"print('about to fail', flush=True)\n{job}")
    error = build_stub(tmp_path)
    assert (type(error), error.message, error.exit_code) == (exporter.EngineError, message, 3)
    log = read_log(error)
    assert "about to fail" in log
    assert ("Traceback" in log) == ("raise" in job)


@pytest.mark.parametrize("victim", ["os.getpid()", "os.getppid()"], ids=["job", "worker"])
def test_a_killed_worker_is_told_as_such(victim: str, stub_worker: MakeStub, tmp_path: Path):
    """The system kills what needs more memory than there is; that is no bug, and there is nothing to report."""
    stub_worker(f"os.kill({victim}, signal.SIGKILL); time.sleep(60)")
    error = build_stub(tmp_path)
    assert (type(error), error.message) == (exporter.ExportError, "the worker was killed while building (SIGKILL)")
    assert error.help is not None
    assert error.help.startswith("most likely the machine ran out of memory; build on a machine with more memory")


@pytest.mark.parametrize("victim", ["os.getpid()", "os.getppid()"], ids=["job", "worker"])
def test_a_worker_that_is_told_to_end_is_no_bug(victim: str, stub_worker: MakeStub, tmp_path: Path):
    stub_worker(f"os.kill({victim}, signal.SIGTERM); time.sleep(60)")
    error = build_stub(tmp_path)
    assert type(error) is exporter.ExportError
    # The worker ends its group of processes, itself among them, in the way that nothing can be done about.
    assert error.message == f"the worker was killed while building ({'SIGKILL' if 'pp' in victim else 'SIGTERM'})"


def test_a_crash_of_a_job_on_a_full_disk_is_told_as_such(
    stub_worker: MakeStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("exporter.artifacts.refusals._free", lambda place: 0.0)
    stub_worker("os.kill(os.getpid(), signal.SIGBUS); time.sleep(60)")
    error = build_stub(tmp_path)
    assert type(error) is exporter.UsageError
    assert "there is no room to write: No space left on device" in error.message


def test_a_full_disk_names_the_place_and_the_room(stub_worker: MakeStub, tmp_path: Path):
    stub_worker(
        """\
        (job.staging / "half").write_bytes(bytes(1500))
        raise errors.ExportError("the file was not written") from OSError(28, "No space left on device")
        """
    )
    error = build_stub(tmp_path)
    assert type(error) is exporter.UsageError
    assert re.search(
        r"^there is no room to write: No space left on device; .* of .* are free on the file system at '/.*'; "
        r"1.5 kB of the artifact were written$",
        error.message,
    )


def test_temporary_files_of_a_killed_job_go_with_it(stub_worker: MakeStub, tmp_path: Path):
    stub_worker(
        """\
        import tempfile
        (pathlib.Path(__file__).with_name("scratch")).write_text(tempfile.mkdtemp(), "utf-8")
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
        """
    )
    build_stub(tmp_path)
    scratch = Path((tmp_path / "scratch").read_text("utf-8"))
    assert scratch.parent.name.startswith("job-")
    assert scratch.parents[2].name.startswith("exporter-")
    assert not scratch.parents[2].exists()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('{"event": "Stage", "te', '{"event": "Stage", "te'),
        ("Segmentation fault (core dumped)", "Segmentation fault (core dumped)"),
        ('{"event": "Failed", "error": {"kind": "Nonsense"}}', "error cannot be read"),
        ("", "cannot be read"),
    ],
    ids=["torn", "no-json", "no-error", "empty"],
)
def test_a_garbled_line_is_an_engine_error_that_shows_it(line: str, shown: str, stub_worker: MakeStub, tmp_path: Path):
    stub_worker(f"worker._emit = lambda events, event: print({line!r}, file=events, flush=True)\nemit('started')")
    error = build_stub(tmp_path)
    assert type(error) is exporter.EngineError
    assert error.message.startswith("a bug in exporter: ")
    assert "cannot be read" in error.message
    assert shown in error.message
    read_log(error)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("raise ImportError('no torch here')", "ends at its start (status 1): ImportError: no torch here"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "ends at its start (SIGSEGV): it printed nothing"),
        ("print('hello from a site'); sys.exit('it will not')", "ends at its start (status 1): it will not"),
        (
            "worker._NEEDED = 'no_such_library'",
            "exporter cannot be imported: ModuleNotFoundError: No module named 'no_such_library'",
        ),
        (
            "sys.modules['torch'] = None\nworker._NEEDED = 'torch.nn'",
            "torch is not installed, and this needs it",
        ),
    ],
    ids=["raises", "crashes", "leaves", "lacks-a-part", "lacks-torch"],
)
def test_a_worker_that_cannot_start_says_why_once(more: str, said: str, stub_worker: MakeStub, tmp_path: Path):
    stub_worker(MADE, more)
    for jobs in (1, 2):
        with pytest.raises(exporter.UsageError, match=r"^nothing can be built: ") as failure:
            exporter.build("bert", task=("fill-mask", "text-classification"), output=tmp_path / "out", jobs=jobs)
        assert said in failure.value.message
        assert failure.value.help is not None
    assert not (tmp_path / "out").exists()


def test_what_others_print_before_a_worker_is_ready_is_passed_over(stub_worker: MakeStub, tmp_path: Path):
    stub_worker(MADE, "print('a site says hello', flush=True)")
    (result,) = exporter.build("bert", task="fill-mask", output=tmp_path / "out")
    assert result.files == {"fill-mask": 1}


def test_a_worker_refuses_a_line_that_is_no_job(stub_worker: MakeStub):
    stub_worker("pass")
    ended = subprocess.run(
        [sys.executable], input='{"event": "Job"}\n', capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert event_from_line(ended.stdout) == Ready()
    assert "EngineError: a line between the command and its worker cannot be read" in ended.stderr


def test_a_worker_answers_every_job_with_its_events_and_its_end(stub_worker: MakeStub, tmp_path: Path):
    stub_worker("emit('printing'); print('to', 'the log'); raise errors.UsageError('no', help=str(job.staging.name))")
    jobs = [Job(make_request({"spec": "bert", "verify": False}), tmp_path / name) for name in ("first", "second")]
    ended = subprocess.run(
        [sys.executable],
        input="".join(to_line(job) + "\n" for job in jobs),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("to the log") == 2
    ready, *events = [event_from_line(line) for line in ended.stdout.splitlines()]
    assert ready == Ready()
    for job, (stage, failed, end) in zip(jobs, (events[:3], events[3:]), strict=True):
        assert (stage, end) == (Stage("printing"), Ended(0))
        assert isinstance(failed, Failed)
        error = error_from_data(failed.error)
        assert (type(error), error.message, error.help) == (exporter.UsageError, "no", job.staging.name)


def test_without_fork_a_job_runs_in_the_worker_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    from exporter.building import job

    def fail(asked: Job, emit: Callable[[str], None]) -> None:
        emit(f"building {asked.request.spec}")
        raise AssertionError

    events = io.StringIO()
    monkeypatch.setattr(job, "build_artifact", fail)
    assert worker._run(Job(make_request({"spec": "bert"}), tmp_path), events) == 0
    stage, failed = map(event_from_line, events.getvalue().splitlines())
    assert stage == Stage("building bert")
    assert isinstance(failed, Failed)
    error = error_from_data(failed.error)
    assert (type(error), error.message) == (exporter.EngineError, "AssertionError")
    assert "Traceback" in capsys.readouterr().err

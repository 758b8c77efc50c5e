"""``python -m exporter.onnx``: the command line of the earlier system, ``transformers.onnx``, as one build.

Exit codes 0 (success), 1 (any failure) and 2 (a command line that cannot be read) are those of the earlier system; it
had no 3 (a bug in exporter) and no 130 (interrupted).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from exporter.api import given_options, plan_builds, run_requests
from exporter.cli.ending import Ending, leave, told_to_end
from exporter.cli.main import find_failure, report_bug
from exporter.cli.render.text import render_error
from exporter.errors import UsageError
from exporter.language.catalog import load_tasks
from exporter.language.loading import load_spec
from exporter.language.spec import WITH_PAST
from exporter.onnx.defaults import fill_options
from exporter.onnx.lines import validation_lines
from exporter.versions import untried_versions

_UNUSED = (
    "Accepted and ignored: the inputs come from the spec, and every preprocessing file of the checkpoint is copied."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parsed = _parse(arguments)
    with told_to_end() as ending:
        code = _run(parsed, ending)
        if ending.signal is not None:
            leave(code)
    return code


def _run(parsed: argparse.Namespace, ending: Ending) -> int:
    try:
        return _export(parsed)
    except KeyboardInterrupt:
        _say(ending.message)
        return ending.exit_code
    except Exception as error:
        failure = find_failure(error)
        if failure is None:
            report_bug(error)
        _say(render_error(failure))
        return 1 if isinstance(failure, UsageError) else failure.exit_code


def _export(parsed: argparse.Namespace) -> int:
    given = given_options(
        model=parsed.model,
        tasks=(parsed.feature,),
        output=parsed.output,
        framework=parsed.framework,
        cache_dir=parsed.cache_dir,
        opset=parsed.opset,
        atol=parsed.atol,
    )
    (build,) = plan_builds((), given)
    spec = load_spec(str(build.request.spec))
    options = fill_options(build.request.options, spec, spec.tasks[build.task])
    build = replace(build, request=replace(build.request, options=options))
    for line in untried_versions():
        print(f"warning: {line}", file=sys.stderr)
    (outcome,) = run_requests([build])
    for line in validation_lines(outcome.report) if outcome.report is not None else ():
        _say(line)
    if outcome.error is not None:
        raise outcome.error
    if outcome.plan is None:
        raise AssertionError("a build ends with a plan or an error")
    for remark in outcome.remarks:
        _say(f"The checkpoint: {remark}")
    files = ", ".join((parsed.output / graph.file).as_posix() for graph in outcome.plan.graphs)
    _say(f"All good, model saved at: {files}")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m exporter.onnx", description="Export a checkpoint to a verified ONNX graph."
    )
    parser.add_argument("-m", "--model", required=True, help="The checkpoint: a hub id, or the path of a directory.")
    parser.add_argument(
        "--feature",
        default="default",
        metavar="{" + ",".join(_features()) + "}",
        help=(
            "The feature to export the model with, or any other name of its task. "
            "Default: default, the model without a head."
        ),
    )
    parser.add_argument("--opset", type=int, help="The ONNX opset. Default: that of the earlier system.")
    parser.add_argument(
        "--atol", type=_tolerance, help="The absolute tolerance of the validation. Default: the spec's."
    )
    parser.add_argument(
        "--framework",
        choices=["pt", "tf"],
        help="The weights to take from a checkpoint that has PyTorch's and TensorFlow's. Default: PyTorch's.",
    )
    parser.add_argument("output", type=Path, help="The directory to write.")
    parser.add_argument("--cache_dir", help="The directory that keeps downloads of a hub id.")
    parser.add_argument(
        "--preprocessor",
        choices=["auto", "tokenizer", "feature_extractor", "image_processor", "processor"],
        default="auto",
        help=_UNUSED,
    )
    parser.add_argument("--export_with_transformers", action="store_true", help="Accepted and ignored.")
    return parser.parse_args(arguments)


def _features() -> list[str]:
    """Return the features that the architectures of the catalogue have, as `FeaturesManager` lists them."""
    return sorted(
        name for task in load_tasks().values() if not task.pooled for name in (task.feature, task.feature + WITH_PAST)
    )


def _tolerance(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no tolerance: give a number of 0 or more")
    return value


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

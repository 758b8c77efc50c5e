"""``export`` and ``validate_model_outputs`` for a live model: the steps of a build, on one graph."""

from __future__ import annotations

import inspect
import io
import logging
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from exporter.artifacts.claims import claimed_directory
from exporter.artifacts.refusals import find_refusal
from exporter.errors import ExportError, UsageError, first_line
from exporter.models.examination import check_outputs
from exporter.models.flat_model import FlatModel
from exporter.models.oracle import make_oracle
from exporter.models.patches import applied_patches
from exporter.onnx.config import OnnxConfig
from exporter.onnx.lines import validation_lines
from exporter.onnx.live import plan_model, twin_model
from exporter.planning.instead import missing_name
from exporter.planning.plan import Plan
from exporter.targets.onnx import OPSETS
from exporter.targets.registry import find_target
from exporter.verification.expected import LiveModel
from exporter.verification.report import VerificationError
from exporter.verification.verify import verify_artifact
from exporter.versions import installed_version

logger = logging.getLogger(__name__)


# The parameters of both functions are those of the earlier system, whose scripts pass them by name and by position.
def export(  # noqa: PLR0913
    preprocessor: Any,
    model: Any,
    config: OnnxConfig,
    opset: int | None,
    output: str | Path,
    tokenizer: Any = None,
    device: str = "cpu",
) -> tuple[list[str], list[str]]:
    """Write the graph of a model to a file, which is put in place whole.

    Args:
        preprocessor: used where there is no spec, to see how large pictures and sounds are.
        model: a transformers model on the CPU. It is not changed.
        config: what the graph looks like.
        opset: the ONNX opset; None for the config's default.
        output: the file to write. Weights too large for it go beside it, to ``<output>_data``.
        tokenizer: not used, as ``preprocessor``.
        device: must be ``cpu``.

    Returns:
        The names of the graph's inputs and outputs, in order.

    Raises:
        UsageError: the opset or device cannot be had, the config declares what the spec does not have, or the file
            cannot be written.
        ExportError: the model refuses the inputs, gives other outputs than declared, or the tracer fails.
    """
    if device != "cpu":
        raise UsageError(f"the device '{device}' cannot be had", help="graphs are recorded on the CPU")
    path = Path(output)
    plan = plan_model(config, model, preprocessor, opset=opset)
    graph = plan.graphs[0]
    check_outputs(twin_model(config, model), graph, plan)
    try:
        with claimed_directory(path.parent) as staging:
            try:
                _record(config, model, plan, staging / path.name)
            except ExportError as error:
                other = _other_tracer(config, plan)
                if other is None:
                    raise
                logger.info("%s; the tracer %s takes its place", error.message, other.recording.tracer)
                _record(config, model, other, staging / path.name)
            # The graph goes last, because it names the files of its weights: they are in place when it appears.
            for file in sorted(staging.iterdir(), key=lambda file: file.name == path.name):
                file.replace(path.parent / file.name)
    except OSError as error:
        refusal = find_refusal(error, (path.parent,))
        raise UsageError(
            f"'{path}' cannot be written: {refusal.message if refusal else first_line(error.strerror or error)}",
            help="give another path",
        ) from None
    return [tensor.name for tensor in graph.inputs], [tensor.name for tensor in graph.outputs]


# What the earlier system asked of ONNX Runtime for its quantisation.
ORT_QUANTIZE_MINIMUM_VERSION = "1.4.0"


def check_onnxruntime_requirements(minimum_version: Any) -> None:
    """Check that the installed ONNX Runtime is new enough.

    Raises:
        UsageError: it is older.
    """
    from packaging.version import parse

    installed = installed_version("onnxruntime")
    if parse(installed) < parse(str(minimum_version)):
        raise UsageError(
            f"onnxruntime {minimum_version} or later is needed, and {installed} is installed",
            help="pip install --upgrade onnxruntime",
        )


def ensure_model_and_config_inputs_match(model: Any, model_inputs: Iterable[str]) -> tuple[bool, list[str]]:
    """Return whether ``forward()`` takes all inputs, and those it takes, in its order."""
    names, taken = set(model_inputs), list(inspect.signature(model.forward).parameters)
    return names <= set(taken), [name for name in taken if name in names]


# The name by which the earlier system called what exports a model of PyTorch, which is every model here.
export_pytorch = export


def _record(config: OnnxConfig, model: Any, plan: Plan, file: Path) -> None:
    """Write the graph of a plan to a file."""
    graph = replace(plan.graphs[0], file=file.name, files=(file.name,))
    exporter = find_target(plan.recording.target).load_exporter()
    recorded = twin_model(config, model, exporter.attention_of(plan))
    # A tracer that fails prints all that it has recorded.
    with applied_patches(plan.recording.patches, recorded), config.patched(), redirect_stdout(io.StringIO()):
        exporter.export_graph(recorded, graph, plan, file.parent)


def _other_tracer(config: OnnxConfig, plan: Plan) -> Plan | None:
    """Return the plan with the tracer that no spec has ruled out; None where a spec or the class has chosen one."""
    if not config.is_custom or config.tracer is not None:
        return None
    tracer = next(
        (name for name, opsets in OPSETS.items() if name != plan.recording.tracer and plan.recording.opset in opsets),
        None,
    )
    return replace(plan, recording=replace(plan.recording, tracer=tracer)) if tracer is not None else None


# The parameters are those of the earlier system, as above.
def validate_model_outputs(  # noqa: PLR0913
    config: OnnxConfig,
    preprocessor: Any,
    reference_model: Any,
    onnx_model: str | Path,
    onnx_named_outputs: Iterable[str],
    atol: float | None,
    tokenizer: Any = None,
) -> None:
    """Compare a graph with the model it was exported from, at all sizes its spec names, and log the result.

    Args:
        config: what the graph looks like.
        preprocessor: used where there is no spec, to see how large pictures and sounds are.
        reference_model: the model. It is not changed.
        onnx_model: the graph.
        onnx_named_outputs: outputs the graph must have. All outputs it has are compared.
        atol: the absolute part of the bound; None for the config's default.
        tokenizer: not used, as ``preprocessor``.

    Raises:
        UsageError: the file is no graph.
        VerificationError: the graph has other tensors than declared, or computes something else than the model; the
            ``report`` of the error has what was measured.
    """
    path = Path(onnx_model)
    plan = plan_model(config, reference_model, preprocessor, opset=_read_opset(path), atol=atol)
    graph = replace(plan.graphs[0], file=path.name, files=(path.name,))
    lacking = sorted(set(onnx_named_outputs) - {tensor.name for tensor in graph.outputs})
    oracle = make_oracle(FlatModel(twin_model(config, reference_model), graph))
    report = verify_artifact(path.parent, replace(plan, graphs=(graph,)), LiveModel({graph.component: oracle}))
    if lacking:
        report = replace(report, problems=(f"there is no output {', '.join(lacking)}", *report.problems))
    for line in validation_lines(report):
        logger.info(line)
    if not report.passed:
        raise VerificationError.of(report, plan)


def _read_opset(path: Path) -> int | None:
    import onnx

    try:
        graph = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise UsageError(f"'{path}' cannot be read: {reason}", help="give a file that export() wrote") from None
    except Exception:  # what the parser of protobuf raises depends on which of its implementations is installed
        raise UsageError(f"'{path}' is not an ONNX graph", help="give a file that export() wrote") from None
    return next((entry.version for entry in graph.opset_import if entry.domain == ""), None)


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)

"""Verify an artifact beside the checkpoint it was built from, with inputs it has not seen."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

from exporter import models
from exporter.artifact import read_manifest
from exporter.building.job import check_architecture, make_oracle
from exporter.checkpoints import open_checkpoint
from exporter.diagnostics import CheckpointError
from exporter.flatten import FlatModel
from exporter.planning import Plan
from exporter.verification import Comparison, Report, check_structure, verify_graph


def verify_beside(
    directory: Path,
    plan: Plan,
    model: str,
    *,
    framework: str | None,
    trust_remote_code: bool,
    progress: Callable[[str], None],
) -> Report:
    """Run every graph of an artifact beside a checkpoint.

    Raises:
        CheckpointError: the checkpoint has other weights than the artifact was built from.
    """
    progress("opening the checkpoint")
    checkpoint = open_checkpoint(model, code=trust_remote_code, framework=framework)
    check_architecture(checkpoint, plan.architecture)
    source = read_manifest(directory)["source"]["files"]
    differing = [name for name, digest in checkpoint.digests().items() if name in source and source[name] != digest]
    if differing:
        raise CheckpointError(
            f"'{checkpoint.name}' is not the checkpoint this artifact was built from: {', '.join(differing)} differ",
            help="give the checkpoint the artifact was built from, or build it again",
        )
    progress("loading the model")
    with tempfile.TemporaryDirectory(prefix="exporter-") as scratch:
        loadable = models.convert_weights(plan, checkpoint, Path(scratch), trust_remote_code=trust_remote_code)
        loaded, _ = models.load_model(plan, loadable, trust_remote_code=trust_remote_code)
    # Other seeds than the build's, so that these inputs are new to the graph.
    fresh = dataclasses.replace(plan, seed=plan.seed + 2)
    comparisons: list[Comparison] = []
    problems: list[str] = []
    runtime = ""
    for graph in plan.graphs:
        problems += check_structure(directory / graph.file, graph, plan)
        oracle = make_oracle(FlatModel(loaded, graph))
        for file in plan.programs(graph):
            runtime, found = verify_graph(
                directory / file, graph, fresh, oracle, lambda text: progress(f"verifying {text}")
            )
            comparisons += found
    return Report(runtime, plan.atol, plan.rtol, tuple(comparisons), tuple(problems))

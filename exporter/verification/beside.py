"""Verify an artifact beside the checkpoint it was built from, with inputs it has not seen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from exporter.artifacts.claims import scratch_directory
from exporter.artifacts.manifest import MANIFEST, read_manifest
from exporter.errors import CheckpointError, UsageError, describe_error
from exporter.models.checkpoints import Source, check_architecture, open_checkpoint
from exporter.models.checkpoints.embedding import head_files
from exporter.models.flat_model import FlatModel
from exporter.models.loading import load_model
from exporter.models.merging import make_loadable
from exporter.models.oracle import make_oracle
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import Plan
from exporter.steps import Progress
from exporter.verification.expected import LiveModel
from exporter.verification.report import Report
from exporter.verification.verify import verify_artifact


def verify_beside(directory: Path, plan: Plan, source: Source, progress: Progress) -> Report:
    """Run every graph of an artifact beside a checkpoint.

    Raises:
        UsageError: the checkpoint is of another architecture.
        CheckpointError: the checkpoint has other weights than the artifact was built from.
    """
    progress("opening the checkpoint")
    checkpoint = open_checkpoint(source)
    check_architecture(checkpoint, plan.model.architecture)
    checkpoint = dataclasses.replace(checkpoint, module_files=head_files(checkpoint, plan.model.head))
    built_from = read_manifest(directory)["source"]["files"]
    differing = [name for name, digest in checkpoint.digests().items() if built_from.get(name, digest) != digest]
    if differing:
        raise CheckpointError(
            f"'{checkpoint.name}' is not the checkpoint this artifact was built from: {', '.join(differing)} differ",
            help="give the checkpoint the artifact was built from, or build it again",
        )
    # Other seeds than the build's, so that these inputs are new to the graph.
    fresh = dataclasses.replace(plan, sizes=dataclasses.replace(plan.sizes, seed=plan.sizes.seed + 2))
    _check_dummies(directory, fresh)
    progress("loading the model")
    with scratch_directory() as scratch:
        model = load_model(plan, make_loadable(plan, checkpoint, scratch)).model
    oracles = {graph.component: make_oracle(FlatModel(model, graph)) for graph in plan.graphs}
    return verify_artifact(directory, fresh, LiveModel(oracles), progress)


def _check_dummies(directory: Path, plan: Plan) -> None:
    """Check that the inputs can be made that a manifest describes, which may be a stranger's.

    Raises:
        UsageError: they cannot.
    """
    for graph in plan.graphs:
        for point in (*plan.sizes.points, *(point for group in plan.sizes.probes.values() for point in group)):
            try:
                make_dummies(graph, point, plan.sizes.seed)
            except Exception as error:
                # Whatever numpy raises for a fill that has other arguments than its own, or bounds that cross.
                raise UsageError(
                    f"'{directory / MANIFEST}' describes inputs that cannot be made, of '{graph.component}' at "
                    f"'{point.name}': {describe_error(error)}",
                    help="build the artifact again",
                ) from error

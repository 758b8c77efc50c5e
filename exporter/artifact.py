"""Artifacts, for programs around the package: read the plan of one, or put a directory of one's own in its place."""

from exporter.artifacts.manifest import read_manifest, read_plan
from exporter.artifacts.staging import staged_artifact

__all__ = ["read_manifest", "read_plan", "staged_artifact"]

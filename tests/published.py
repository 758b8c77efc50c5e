"""An artifact to publish, made without a build: it is sent as it is, and nobody runs it."""

from __future__ import annotations

from pathlib import Path

import exporter
from exporter.artifacts.card import write_card
from exporter.artifacts.manifest import write_manifest
from exporter.models.checkpoints import Checkpoint


def make_artifact(folder: Path) -> Path:
    source = folder.with_name("source")
    source.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (source / name).write_text("{}", "utf-8")
    (folder / "sub").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph" * 1000)
    (folder / "config.json").write_text("{}", "utf-8")
    (folder / "sub" / "vocab.txt").write_text("a\nb\n", "utf-8")
    plan = exporter.plan("bert", "fill-mask")
    write_manifest(folder, plan, Checkpoint(source, "mine", ("model.safetensors",)), None)
    write_card(folder)
    return folder

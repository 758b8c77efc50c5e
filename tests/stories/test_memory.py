"""Weights do not pass through memory: what a build holds does not grow with the checkpoint."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import psutil
import pytest

import exporter

MEGABYTE = 1 << 20


class Watch(threading.Thread):
    """Remembers the most anonymous memory that any process below this one held.

    Resident memory would say nothing, since the system may drop the pages of a mapped file. Anonymous pages that
    several processes share, as a forked child does with its parent, are divided among those processes.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            for process in psutil.Process().children(recursive=True):
                try:
                    self.most = max(self.most, anonymous_memory(process.pid))
                except (OSError, psutil.Error):
                    continue  # it has ended

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def anonymous_memory(pid: int) -> int:
    """Return the proportional share of anonymous memory of a process, in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    return 0


def make_checkpoint(directory: Path, layers: int) -> int:
    """Make a checkpoint whose size is in its layers; return its bytes."""
    import torch
    import transformers

    config = transformers.BertConfig(
        hidden_size=1024,
        num_hidden_layers=layers,
        num_attention_heads=16,
        intermediate_size=4096,
        vocab_size=100,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    transformers.BertModel(config).eval().save_pretrained(directory)
    return (directory / "model.safetensors").stat().st_size


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells anonymous memory from mapped files")
def test_a_build_holds_no_copy_of_the_weights(tmp_path: Path):
    sizes, peaks = [], []
    for layers in (2, 8):
        sizes.append(make_checkpoint(tmp_path / f"model-{layers}", layers))
        with Watch() as watch:
            # Not verified: the session as users open it would hold the runtime's own copy of every weight.
            exporter.build(
                model=tmp_path / f"model-{layers}",
                task="feature-extraction",
                output=tmp_path / f"out-{layers}",
                verify=False,
            )
        peaks.append(watch.most)
    grown, more = peaks[1] - peaks[0], sizes[1] - sizes[0]
    weights, memory = more / MEGABYTE, grown / MEGABYTE
    print(f"{weights:.0f} MB more of weights, {memory:.0f} MB more of anonymous memory ({os.cpu_count()} cores)")
    assert more > 280 * MEGABYTE
    assert peaks[0] > 50 * MEGABYTE, "nothing was measured"
    assert grown < 60 * MEGABYTE

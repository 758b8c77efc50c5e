"""Memory of opening a large checkpoint: mapped, as `exporter` loads it, against a rival that reads it.

Anonymous memory is counted, since the system may take back pages that are mapped from a file. A sharded checkpoint of
random weights, 2 GB by default, is written into a temporary directory and removed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HIDDEN, LAYERS_PER_GB = 2048, 5


def anonymous_mb() -> float:
    """Return this process's anonymous memory in MB."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this benchmark needs Linux")


def make_checkpoint(directory: Path, gigabytes: float) -> int:
    """Save a random encoder of about the given size in shards and return its bytes."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        "bert",
        hidden_size=HIDDEN,
        num_hidden_layers=round(gigabytes * LAYERS_PER_GB),
        num_attention_heads=16,
        intermediate_size=4 * HIDDEN,
        vocab_size=1000,
        architectures=["BertModel"],
    )
    transformers.AutoModel.from_config(config).save_pretrained(directory, max_shard_size="500MB")
    return sum(file.stat().st_size for file in directory.glob("*.safetensors"))


def with_exporter(directory: Path) -> Any:
    """Load as a build does."""
    import exporter
    from exporter.models.checkpoints import open_directory
    from exporter.models.loading import load_model

    plan = exporter.plan("bert", "feature-extraction", model=directory)
    return load_model(plan, open_directory(directory, "it"))


def by_reading(directory: Path) -> Any:
    """Load the shards into memory and the model from them."""
    import torch
    import transformers
    from safetensors.torch import load

    state: dict[str, torch.Tensor] = {}
    for file in sorted(directory.glob("*.safetensors")):
        state.update(load(file.read_bytes()))
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(directory))
    model.load_state_dict(state, assign=True, strict=False)
    return model


def measure(load: Callable[[Path], Any], directory: Path) -> float:
    """Return how many MB of anonymous memory a load adds in a process of its own that has imported everything."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        importlib.import_module("transformers.models.bert.modeling_bert")  # what is imported is not what is loaded
        before = anonymous_mb()
        kept = load(directory)
        os.write(writer, str(anonymous_mb() - before).encode())
        os._exit(0 if kept is not None else 1)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        added = float(pipe.read() or "nan")
    os.waitpid(child, 0)
    return added


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "checkpoint"
        child = os.fork()
        if child == 0:
            make_checkpoint(directory, parser.parse_args().gigabytes)
            os._exit(0)
        os.waitpid(child, 0)
        size = sum(file.stat().st_size for file in directory.glob("*.safetensors")) / 1e6
        ours = measure(with_exporter, directory)
        rival = measure(by_reading, directory)
    print(f"checkpoint: {size:.0f} MB\n\n| | added anonymous MB | ratio |\n|---|--:|--:|")
    print(f"| exporter (mapped) | {ours:.0f} | 1.00 |\n| reading the files | {rival:.0f} | {rival / ours:.1f} |")


if __name__ == "__main__":
    main()

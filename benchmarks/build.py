"""Build time and peak anonymous memory of ``exporter build`` and of rivals, on a random checkpoint of bert-base's size.

    python benchmarks/build.py                 # against torch.onnx.export, both of its tracers
    python benchmarks/build.py --optimum       # and against optimum-onnx, in an environment made for it

Every contender runs in processes of its own on the same checkpoint, and each row is printed as a ratio to the first, so
that a slow or busy machine slows all of them. Anonymous memory is what a process cannot give back to a file: weights
mapped from the checkpoint do not count, copies of them do. It is the sum of ``Pss_Anon`` over the processes of a
contender, sampled from ``/proc`` (Linux), so pages that a forked child shares with its parent count once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import textwrap
import time
import venv
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.05
# optimum-onnx 0.1.0 needs transformers before 4.58, and so an environment apart from exporter's; its torch is the same.
OPTIMUM = ("optimum-onnx==0.1.0", "transformers<4.58", "torch>=2.13,<2.14", "onnxruntime", "onnx")

MAKE = """
    import sys, torch
    from transformers import BertConfig, BertForMaskedLM
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(num_hidden_layers=int(sys.argv[2]))).save_pretrained(sys.argv[1])
"""
PLAIN = """
    import sys, torch
    from transformers import BertForMaskedLM
    model = BertForMaskedLM.from_pretrained(sys.argv[1]).eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    inputs = tuple(torch.ones(2, 8, dtype=torch.int64) for _ in names)
    axes = {0: "batch", 1: "sequence"}
    if sys.argv[3] == "dynamo":
        shapes = {"dynamic_shapes": tuple({0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO} for _ in names)}
    else:
        shapes = {"dynamic_axes": {name: axes for name in (*names, "logits")}}
    torch.onnx.export(
        model, inputs, sys.argv[2] + "/model.onnx", input_names=names, output_names=["logits"],
        opset_version=18, dynamo=sys.argv[3] == "dynamo", **shapes,
    )
"""


@dataclass
class Measurement:
    """What one contender took: seconds of wall clock and of CPU, and bytes of anonymous memory at the peak."""

    wall: float
    cpu: float
    memory: int
    ok: bool


def measure(command: list[str]) -> Measurement:
    """Run a command to its end and measure it with all of its children."""
    before = os.times()
    start = time.monotonic()
    peak = 0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment())
        while process.poll() is None:
            peak = max(peak, sum(map(anonymous_bytes, family_of(process.pid))))
            time.sleep(SAMPLE_SECONDS)
        wall = time.monotonic() - start
        if process.returncode:
            said.seek(0)
            print(textwrap.indent(said.read().strip()[-600:], "    "), file=sys.stderr)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measurement(wall, cpu, peak, process.returncode == 0)


def environment() -> dict[str, str]:
    """Return the environment of every contender: nothing may be fetched while it is measured."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def family_of(pid: int) -> list[int]:
    """Return a process and everything below it."""
    family = [pid]
    for member in family:  # grows by the children of each
        try:
            for task in Path(f"/proc/{member}/task").iterdir():
                family += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it has ended
    return family


def anonymous_bytes(pid: int) -> int:
    """Return the anonymous memory of a process; shared pages are divided among those that share them."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss_Anon:")), 0)


def make_optimum(directory: Path) -> Path:
    """Make an environment with optimum-onnx and return its command."""
    venv.create(directory, with_pip=True)
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *OPTIMUM], check=True)
    return directory / "bin" / "optimum-cli"


def main() -> None:
    """Measure every contender and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=12, help="depth of the checkpoint (bert-base: 12)")
    parser.add_argument("--optimum", action="store_true", help="also measure optimum-onnx, installed for the purpose")
    parser.add_argument("--only", default="", metavar="TEXT", help="measure only rivals whose names have this in them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exporter-benchmark-") as work:
        root = Path(work)
        checkpoint = root / "checkpoint"
        python = [sys.executable, "-W", "ignore", "-c"]
        subprocess.run(
            [*python, textwrap.dedent(MAKE), str(checkpoint), str(options.layers)],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        exporter = [sys.executable, "-m", "exporter.cli", "build", "--model", str(checkpoint)]
        exporter += ["--task", "fill-mask", "-o"]
        contenders = {
            "exporter build --no-verify": [*exporter, str(root / "unverified"), "--no-verify"],
            "exporter build (verified)": [*exporter, str(root / "verified")],
        }
        for tracer in ("torchscript", "dynamo"):
            (root / tracer).mkdir()
            contenders[f"torch.onnx.export, {tracer}"] = [
                *python,
                textwrap.dedent(PLAIN),
                str(checkpoint),
                str(root / tracer),
                tracer,
            ]
        if options.optimum:
            command = make_optimum(root / "optimum-environment")
            export = ["export", "onnx", "--model", str(checkpoint), "--task", "fill-mask", "--opset", "18"]
            contenders["optimum-cli export onnx (it verifies too)"] = [str(command), *export, str(root / "optimum")]
        weights = (checkpoint / "model.safetensors").stat().st_size
        print(
            f"checkpoint: {weights / 1e6:.0f} MB of weights, {options.layers} layers; {os.cpu_count()} cores\n",
            flush=True,
        )
        print("| | wall s | ratio | CPU s | ratio | peak anonymous MB | ratio |")
        print("|---|--:|--:|--:|--:|--:|--:|", flush=True)
        first: Measurement | None = None
        for name, command_line in contenders.items():
            if first is not None and options.only not in name:
                continue
            measured = measure(command_line)
            first = first or measured
            row = cells(measured, first)
            print(f"| {name} | {' | '.join(row if measured.ok else ['failed'] * len(row))} |", flush=True)


def cells(measured: Measurement, first: Measurement) -> list[str]:
    """Return the row of a contender: each measurement, and its ratio to that of the first contender."""
    return [
        f"{measured.wall:.1f}",
        f"{measured.wall / first.wall:.2f}",
        f"{measured.cpu:.1f}",
        f"{measured.cpu / first.cpu:.2f}",
        f"{measured.memory / 1e6:.0f}",
        f"{measured.memory / first.memory:.2f}",
    ]


if __name__ == "__main__":
    main()

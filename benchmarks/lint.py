"""CPU time of ``exporter lint specs`` beside two rivals: what any linter of these files pays, and what torch costs.

    python benchmarks/lint.py

The floor starts Python and reads every file with PyYAML. The ceiling imports torch and transformers and checks nothing:
the price of a linter that looks at the models.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

SPECS = Path(__file__).parent.parent / "specs"
ROUNDS = 5
FLOOR = """
import pathlib, sys, yaml
for path in pathlib.Path(sys.argv[1]).rglob("*.yaml"):
    yaml.safe_load(path.read_text("utf-8"))
"""
CEILING = "import torch, transformers.models.auto.modeling_auto"


def cpu_seconds(command: list[str]) -> float:
    """Run a command and return the seconds of CPU it took."""
    before = os.times()
    code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
    if code not in (0, 1):  # 1: it found something, which is not for a benchmark to judge
        raise SystemExit(f"{' '.join(command)} left with {code}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Take turns, so that a busy moment falls on all of them, and print the medians."""
    contenders = {
        "exporter lint specs": [sys.executable, "-m", "exporter.cli", "lint", str(SPECS)],
        "PyYAML reads the same files": [sys.executable, "-c", FLOOR, str(SPECS)],
        "import torch and transformers": [sys.executable, "-W", "ignore", "-c", CEILING],
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, command in contenders.items():
            taken[name].append(cpu_seconds(command))
    files = list(SPECS.rglob("*.yaml"))
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e3:.0f} kB; median of {ROUNDS} rounds\n")
    print("| | CPU s | ratio |")
    print("|---|--:|--:|")
    medians = {name: statistics.median(times) for name, times in taken.items()}
    for name, median in medians.items():
        print(f"| {name} | {median:.2f} | {median / medians['exporter lint specs']:.2f} |")


if __name__ == "__main__":
    main()

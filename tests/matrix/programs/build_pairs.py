"""Build pairs, each in its way, in whatever is installed, and print how each ended: ``build_pairs.py PAIRS OUTPUT``.

One JSON object goes to standard output: the versions, and for each pair ``built``, ``refused: …`` or ``failed: …``.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from exporter import api
from exporter.errors import ExporterError, UsageError


def main(pairs: Path, output: Path) -> None:
    """Build the pairs and say how each ended."""
    ends: dict[str, str] = {}
    builds = []
    titles: dict[Path, str] = {}
    for number, (architecture, task, way) in enumerate(json.loads(pairs.read_text("utf-8"))):
        place = output / str(number)
        titles[place] = " ".join((architecture, task, *way.values()))
        try:
            builds += api.plan_builds([architecture], api.given_options(tasks=(task,), output=place, **way))
        except ExporterError as error:
            ends[titles[place]] = _end(error)
    for outcome in api.run_requests(builds):
        ends[titles[outcome.build.output]] = _end(outcome.error)
    installed = {name: version(name) for name in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")}
    print(json.dumps({"versions": {"python": platform.python_version(), **installed}, "ends": ends}))


def _end(error: ExporterError | None) -> str:
    if error is None:
        return "built"
    return f"{'refused' if isinstance(error, UsageError) else 'failed'}: {error.message}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

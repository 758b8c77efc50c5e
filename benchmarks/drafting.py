"""Draft specs blind, as if they did not exist, and count those that lint and build unedited.

    python benchmarks/drafting.py drafts.jsonl                       # every architecture that has a spec; resumes
    python benchmarks/drafting.py drafts.jsonl --without-spec        # every one that transformers has a task for
    python benchmarks/drafting.py drafts.jsonl --only bert --only t5
    python benchmarks/drafting.py drafts.jsonl --no-build            # examine in PyTorch, and build nothing
    python benchmarks/drafting.py drafts.jsonl --report              # what the file says, without drafting

A draft passes if the linter finds nothing in it, its references agree with it in PyTorch at every size, and each of its
tasks builds and is verified with one of the tracers. Drafts with every task of the spec, and those that needed no other
bound than the family's, are counted apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NoReturn

import transformers

from exporter.drafting.making import Wish, draft_spec
from exporter.drafting.subject import find_subject
from exporter.errors import ExporterError, UsageError
from exporter.language.catalog import list_specs
from exporter.language.loading import load_spec

_NONE = "no family fits"


def main() -> None:
    """Draft, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="JSON lines, one for each architecture")
    parser.add_argument("--without-spec", action="store_true", help="architectures that the catalogue lacks")
    parser.add_argument("--only", action="append", default=[], metavar="MODEL_TYPE", help="this one alone")
    parser.add_argument("--no-build", dest="build", action="store_false", help="build nothing")
    parser.add_argument("--report", action="store_true", help="report the file alone")
    options = parser.parse_args()
    done = {line["architecture"]: line for line in _lines(options.file)}
    if not options.report:
        for architecture in options.only or _architectures(without_spec=options.without_spec):
            if architecture not in done:
                done[architecture] = _draft(architecture, build=options.build)
                with options.file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(done[architecture]) + "\n")
    _report(list(done.values()))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def _architectures(*, without_spec: bool) -> list[str]:
    """Return the architectures of the catalogue, or those beside it that have a task of the vocabulary."""
    known = [path.stem for path in list_specs()]
    if not without_spec:
        return known
    others = [name for name in sorted(transformers.CONFIG_MAPPING) if name not in known]
    return [name for name in others if _has_task(name)]


def _has_task(architecture: str) -> bool:
    try:
        return bool(find_subject(architecture).tasks)
    except ExporterError:
        return False


def _draft(architecture: str, *, build: bool) -> dict[str, Any]:
    started = time.monotonic()
    specs = {path.stem for path in list_specs()}
    spec = load_spec(architecture) if architecture in specs else None
    line: dict[str, Any] = {"architecture": architecture, "kind": spec.family if spec is not None else None}
    try:
        drafted = draft_spec(Wish(architecture, variants=build, build=build), _refuse_to_choose)
    except ExporterError as error:
        line |= {"error": error.message.partition("\n")[0]}
    except Exception as error:  # a fault of the drafter is a result too
        line |= {"error": f"{type(error).__name__}: {error}"[:200], "crashed": True}
    else:
        tasks = list(drafted.draft.tasks)
        line["kind"] = line["kind"] or drafted.draft.family
        line |= {
            "family": drafted.draft.family,
            "tasks": tasks,
            "left_out": drafted.left_out,
            "missing": [task for task in spec.tasks if task not in tasks] if spec is not None else [],
            "findings": [finding.rule for finding in drafted.findings],
            "failed": {proof.task: proof.measurement.error for proof in drafted.proofs if proof.tracer is None},
            "bounds": [proof.task for proof in drafted.proofs if proof.measurement.verdict == "too tight"],
            "passed": drafted.passed,
            "text": drafted.text,
        }
    line |= {"built": build, "seconds": round(time.monotonic() - started, 1)}
    print(architecture, "passed" if line.get("passed") else line.get("error", "failed"), line["seconds"], flush=True)
    return line


def _refuse_to_choose(question: str, choices: list[str], option: str) -> NoReturn:
    raise UsageError(f"{question} {' or '.join(choices)}: {option}")


def _report(lines: list[dict[str, Any]]) -> None:
    """Print a row for each kind: how many passed, with every task of the spec, and with the family's bounds."""
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        kinds[line["kind"] or _NONE].append(line)
    print("| kind | drafted | passed | with every task | within the family's bounds |")
    print("|---|---|---|---|---|")
    for kind, members in [*sorted(kinds.items()), ("all", lines)]:
        passed = [line for line in members if line.get("passed")]
        whole = [line for line in passed if not line["missing"]]
        tight = [line for line in passed if not line["bounds"]]
        share = f"{len(passed)} ({100 * len(passed) // max(len(members), 1)}%)"
        print(f"| {kind} | {len(members)} | {share} | {len(whole)} | {len(tight)} |")


if __name__ == "__main__":
    sys.exit(main())

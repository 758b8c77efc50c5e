"""The model card: ``README.md`` of an artifact, from its manifest and a template.

How a graph is run depends on its target, whose folder has a template of the program; ``snippet.py`` has the values it
is run with. A card holds no time and no path, so that equal builds give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from exporter.artifacts.copying import THEIR_CARD
from exporter.artifacts.layouts import find_layout
from exporter.artifacts.manifest import CARD, CARD_MARK, read_manifest, read_plan
from exporter.artifacts.snippet import describe_programs
from exporter.planning.heads import head_text
from exporter.planning.plan import GraphPlan, Plan
from exporter.planning.words import bound_text, group_layers, tensor_text
from exporter.targets.registry import find_target

_TEMPLATES = Path(__file__).with_name("templates")
# Where a checkpoint says with which token a decoder starts, in the order they are asked.
_START_FILES = ("generation_config.json", "config.json")


def write_card(directory: Path) -> None:
    """Write the card of an artifact whose manifest is written.

    Raises:
        UsageError: the directory is no artifact.
    """
    text = render_card(read_plan(directory), read_manifest(directory), _start_token(directory))
    (directory / CARD).write_text(text, "utf-8")


def render_card(plan: Plan, manifest: Mapping[str, Any], start: int) -> str:
    """Return the text of a card.

    Args:
        plan: the plan of the artifact.
        manifest: its manifest, for where it is from and what was measured.
        start: the token a decoder starts a text with.
    """
    target = find_target(plan.recording.target)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    return environment.get_template("card.md.jinja").render(
        mark=CARD_MARK,
        plan=plan,
        library=find_layout(plan.recording.layout).library or target.library,
        bound=bound_text(plan.bound),
        source=manifest["source"],
        versions=manifest["versions"],
        report=manifest["report"],
        graphs=[_describe_graph(graph, manifest["report"]) for graph in plan.graphs],
        programs=describe_programs(plan, start),
        beside=_beside(manifest, plan),
        their_card=THEIR_CARD,
        head=head_text(plan.model.head),
        program=environment.from_string(target.card_template.read_text("utf-8")),
        modules=target.runtime_modules(plan.recording.settings),
    )


def _cell(text: str) -> str:
    """Return a text that stays in one cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _describe_graph(graph: GraphPlan, report: Mapping[str, Any] | None) -> dict[str, Any]:
    worst = (report or {"worst": []})["worst"]
    comparisons = [comparison for comparison in worst if comparison["graph"] == graph.component]

    def row(name: str, group: list[Any]) -> dict[str, str]:
        names = {tensor.name for tensor in group}
        measured = [comparison for comparison in comparisons if comparison["output"] in names]
        differs = f"{max(comparison['max_abs'] for comparison in measured):.1e}" if measured else ""
        share = f"{max(comparison['share'] for comparison in measured):.0%}" if measured else ""
        unread = group[0].unused or ""
        return {"name": name, "type": tensor_text(group[0]), "differs": differs, "share": share, "unread": unread}

    return {
        "file": graph.file,
        "inputs": [row(name, group) for name, group in group_layers(graph.inputs).items()],
        "outputs": [row(name, group) for name, group in group_layers(graph.outputs).items()],
    }


def _beside(manifest: Mapping[str, Any], plan: Plan) -> list[str]:
    """Return the files that are neither graphs nor vectors: configs, tokenizers and processors."""
    graphs = {graph.file for graph in plan.graphs} | {f"{graph.file}_data" for graph in plan.graphs}
    return [name for name in manifest["files"] if name not in graphs and "test_data_set_" not in name]


def _start_token(directory: Path) -> int:
    for name in _START_FILES:
        try:
            value = json.loads((directory / name).read_text("utf-8")).get("decoder_start_token_id")
        except (OSError, ValueError, AttributeError, RecursionError):
            continue
        if isinstance(value, int):
            return value
    return 0

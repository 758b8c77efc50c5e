"""The model card: ``README.md`` of an artifact, from its manifest, the files beside its graphs, and a template.

How a graph is run depends on its target, whose folder has a template of the program, and on its layout, whose library
has one in ``templates/library``; ``snippet.py`` has the values they are run with. A card holds no time and no path, so
that equal builds give equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from exporter.artifacts.copying import THEIR_CARD
from exporter.artifacts.facts import Facts, read_facts
from exporter.artifacts.front_matter import NO_CARD, TheirCard, base_models, front_matter, read_their_card
from exporter.artifacts.layouts import find_layout
from exporter.artifacts.manifest import CARD, CARD_MARK, read_manifest, read_plan
from exporter.artifacts.markdown import code_span
from exporter.artifacts.snippet import describe_programs
from exporter.language.spec import WITH_PAST
from exporter.planning.heads import head_text
from exporter.planning.plan import GraphPlan, Plan
from exporter.planning.words import bound_text, group_layers, tensor_text
from exporter.targets.registry import find_target
from exporter.versions import install_command

_TEMPLATES = Path(__file__).with_name("templates")
_MOST_LABELS = 20
# The heading of the program of a layout's library.
_TITLES = {
    "flat": "With optimum",
    "genai": "With onnxruntime-genai",
    "sentence-transformers": "With sentence-transformers",
    "transformers-js": "With transformers.js",
}
# Tasks whose scores are of the labels of a config.
_LABELLED = ("classification", "object-detection", "segmentation")
_TEXTS, _PICTURES, _SOUNDS = {"input_ids", "inputs"}, {"pixel_values", "inputs"}, {"input_values", "input_features"}


def write_card(directory: Path) -> None:
    """Write the card of an artifact whose manifest is written.

    Raises:
        UsageError: the directory is no artifact.
    """
    plan, manifest = read_plan(directory), read_manifest(directory)
    theirs = read_their_card(directory / THEIR_CARD) if THEIR_CARD in manifest["files"] else NO_CARD
    text = render_card(plan, manifest, read_facts(directory), theirs)
    (directory / CARD).write_text(text, "utf-8")


def render_card(plan: Plan, manifest: Mapping[str, Any], facts: Facts, theirs: TheirCard = NO_CARD) -> str:
    """Return the text of a card.

    Args:
        plan: the plan of the artifact.
        manifest: its manifest, for where it is from and what was measured.
        facts: what the files beside its graphs say.
        theirs: the front matter of the checkpoint's own card.
    """
    target, layout = find_target(plan.recording.target), find_layout(plan.recording.layout)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": _cell, "code": code_span}
    programs = describe_programs(plan, facts)
    takes = {tensor.name for graph in plan.graphs for tensor in graph.inputs}
    task = plan.task.removesuffix(WITH_PAST)
    text = environment.get_template("card.md.jinja").render(
        mark=CARD_MARK,
        front=front_matter(plan, manifest["source"], theirs, (layout.library, target.library)),
        plan=plan,
        bound=bound_text(plan.bound),
        source=manifest["source"],
        bases=base_models(manifest["source"]),
        versions=manifest["versions"],
        report=manifest["report"],
        graphs=[_describe_graph(graph, manifest["report"]) for graph in plan.graphs],
        programs=programs,
        facts=facts,
        takes_text=bool(takes & _TEXTS),
        takes_pictures=bool(takes & _PICTURES),
        takes_sound=bool(takes & _SOUNDS),
        writes=programs["kind"] == "decoder",
        shows_labels=bool(facts.labels) and task.endswith(_LABELLED) and not task.startswith("zero-shot"),
        most_labels=_MOST_LABELS,
        unpadded=_misses_blank_rows(plan),
        beside=_beside(manifest, plan),
        their_card=THEIR_CARD,
        theirs=theirs,
        head=head_text(plan.model.head),
        word=layout.word(plan) if programs["reads"] or layout.library else None,
        titles=_TITLES,
        program=environment.from_string(target.card_template.read_text("utf-8")),
        install=install_command("verify" if plan.recording.opset else "build"),
        modules=target.runtime_modules(plan.recording.settings),
    )
    return _tidy(text)


def _tidy(text: str) -> str:
    """Return a card without the blank lines that parts of the template leave where they have nothing to say.

    Two blank lines stand before a function of a program, and one elsewhere.
    """
    parts = text.split("```")
    for at, part in enumerate(parts):
        if at % 2:
            parts[at] = re.sub(r"\n{2,}(?=def )", "\n\n\n", re.sub(r"\n{4,}", "\n\n\n", part)).rstrip("\n") + "\n"
        else:
            parts[at] = re.sub(r"\n{3,}", "\n\n", part)
    return "```".join(parts)


def _misses_blank_rows(plan: Plan) -> bool:
    """Tell whether graphs that take a mask were compared at no point that has a row of nothing but padding."""
    masks = [
        tensor for graph in plan.graphs for tensor in graph.inputs if tensor.fill and tensor.fill.name == "padding"
    ]
    return bool(masks) and not any(point.blank_row for point in plan.sizes.points)


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

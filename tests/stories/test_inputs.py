"""What tokenizers and processors of transformers send for an architecture is in its graphs, or a note says why not.

`docs/inputs.md` has the table, which these tests compute; ``pytest --update-goldens`` writes it anew.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest
import transformers
from transformers.image_processing_utils import BaseImageProcessor
from transformers.models.auto import configuration_auto, feature_extraction_auto, tokenization_auto

from exporter.building.request import choose_task
from exporter.language.catalog import list_specs
from exporter.language.expressions import ProcessorValues
from exporter.language.loading import load_spec
from exporter.language.spec import Spec, TaskSpec, overlay_config
from exporter.models.configs import make_config
from exporter.planning.options import Options
from exporter.planning.plan import Plan
from exporter.planning.planner import plan_task

TABLE = Path(__file__).parents[2] / "docs" / "inputs.md"
MARKER = "<!-- inputs -->\n"
# Through its own name: the package gives a stand-in where images cannot be read.
image_processing_auto = importlib.import_module("transformers.models.auto.image_processing_auto")
# Any tokenizer and any image processor, for architectures that transformers has no class of their own for.
GENERIC = {
    "tokenizer": tuple(transformers.PreTrainedTokenizerBase.model_input_names),
    "image processor": tuple(BaseImageProcessor.model_input_names),
}
MAPPINGS = {
    "tokenizer": tokenization_auto.TOKENIZER_MAPPING_NAMES,
    "image processor": image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES,
    "feature extractor": feature_extraction_auto.FEATURE_EXTRACTOR_MAPPING_NAMES,
}
MASK = "attention_mask"


def mapped_class(architecture: str, kind: str) -> str | None:
    """Return the class of a kind that transformers has for an architecture; a tower has those of its whole model."""
    whole = configuration_auto.SPECIAL_MODEL_TYPE_TO_MODULE_NAME.get(architecture, architecture)
    names = MAPPINGS[kind].get(architecture) or MAPPINGS[kind].get(whole)
    # An image processor has a class for each of its backends, which send the same.
    choices = names.values() if isinstance(names, dict) else names if isinstance(names, tuple) else (names,)
    return next(filter(None, choices), None)


@lru_cache
def declared_names(name: str) -> tuple[str, ...] | None:
    """Return what a class says it sends, read from its source: importing it may need packages that are not here."""
    if name not in transformers._class_to_module:
        return None
    module = importlib.util.find_spec(f"transformers.{transformers._class_to_module[name]}")
    assert module is not None
    assert module.origin is not None
    for statement in ast.parse(Path(module.origin).read_text("utf-8")).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=alias)], value=ast.Name(id=other)) if alias == name:
                return declared_names(other)
            case ast.ClassDef(name=own, body=body, bases=bases) if own == name:
                for line in body:
                    match line:
                        case ast.Assign(targets=[ast.Name(id="model_input_names")], value=value):
                            return tuple(ast.literal_eval(value))
                return next((declared_names(base.id) for base in bases if isinstance(base, ast.Name)), None)
    return None


def senders(architecture: str) -> dict[str, tuple[str, ...]]:
    """Return what each kind of class sends to an architecture, its main input first."""
    named = {kind: mapped_class(architecture, kind) for kind in MAPPINGS}
    sent = {kind: declared_names(name) or GENERIC[kind] for kind, name in named.items() if name is not None}
    mains = [names[0] for names in sent.values()]
    sent |= {kind: names for kind, names in GENERIC.items() if kind not in sent and names[0] not in mains}
    # Sound gets a mask where a feature extractor is asked for one, whatever its class declares.
    return {
        kind: (*names, MASK) if kind == "feature extractor" and MASK not in names else names
        for kind, names in sent.items()
    }


def plan_beside_processor(spec: Spec, task: TaskSpec) -> Plan:
    """Plan a task for its reference, beside a processor that sends all it can."""
    config = make_config(spec.architecture, overlay_config(spec.reference, task.reference_config, task.config))
    options = Options(
        dtype="float32", tracer=next(name for name in ("torchscript", "dynamo") if name not in task.refused)
    )
    return plan_task(
        choose_task(spec, task, options), config, processor=ProcessorValues({"return_attention_mask": True})
    )


def is_explained(name: str, plan: Plan) -> bool:
    return any(f"`{name}`" in note for note in plan.notes)


def sent_to(architecture: str, plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return what is sent to the graphs of a plan, by kind: that of each class whose main input they take.

    A tokenizer that only writes out what a model of sound heard sends nothing to it.
    """
    return {
        kind: names
        for kind, names in senders(architecture).items()
        if names[0] in graph_inputs(plan) or is_explained(names[0], plan)
    }


def graph_inputs(plan: Plan) -> dict[str, None]:
    """Return the names of all inputs but those of caches, in order."""
    names = (tensor.name for graph in plan.graphs for tensor in graph.inputs)
    return dict.fromkeys(name for name in names if not name.startswith("past_key_values."))


@pytest.mark.parametrize("path", list_specs(), ids=lambda path: path.stem)
def test_what_is_sent_is_in_the_graph_or_a_note_says_why_not(path: Path):
    spec = load_spec(path)
    for task in spec.tasks.values():
        plan = plan_beside_processor(spec, task)
        sent = sent_to(spec.architecture, plan)
        assert sent, f"{task.name}: nothing in transformers sends {', '.join(graph_inputs(plan))}"
        missing = {name for names in sent.values() for name in names if name not in graph_inputs(plan)}
        missing = {name for name in missing if not is_explained(name, plan)}
        assert not missing, (
            f"{task.name}: take what clients send, or say why not under 'notes:', with `name` in the text"
        )


def rows() -> Iterator[str]:
    yield "| architecture | sent | inputs | left out; a note says why |"
    yield "|---|---|---|---|"
    for path in list_specs():
        spec = load_spec(path)
        plans = [plan_beside_processor(spec, task) for task in spec.tasks.values()]
        inputs = dict.fromkeys(name for plan in plans for name in graph_inputs(plan))
        sent = {kind: names for plan in plans for kind, names in sent_to(spec.architecture, plan).items()}
        absent = dict.fromkeys(name for names in sent.values() for name in names if name not in inputs)
        yield (
            f"| `{spec.architecture}` | {'; '.join(f'{kind}: {listed(names)}' for kind, names in sent.items())} | "
            f"{listed(inputs)} | {listed(absent)} |"
        )


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def test_the_table_of_inputs_is_current(request: pytest.FixtureRequest):
    text = TABLE.read_text("utf-8")
    before, marker, _ = text.partition(MARKER)
    assert marker
    current = before + MARKER + "\n" + "\n".join(rows()) + "\n"
    if request.config.getoption("--update-goldens"):
        TABLE.write_text(current, "utf-8")
        text = current
    assert text == current

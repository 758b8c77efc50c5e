"""Plans: golden for every spec, what a config makes of one, and what a plan refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import exporter
from exporter.building.request import choose_task, plan_config
from exporter.cli.render.builds import plan_text
from exporter.cli.render.catalogue import catalogue_data, catalogue_markdown, catalogue_text
from exporter.errors import UsageError
from exporter.language.catalog import list_specs
from exporter.language.composing import compose_spec
from exporter.language.diagnostics import SpecError
from exporter.language.document import parse_document
from exporter.language.expressions import ProcessorValues
from exporter.language.loading import load_spec
from exporter.language.text import Text
from exporter.planning.options import Options
from exporter.planning.plan import Bound, FillPlan, Plan
from exporter.planning.planner import CHECKPOINT_RTOL, find_task, plan_task
from exporter.targets.onnx import OPSETS

PLANS = Path(__file__).parent.parent / "plans"
TASKS = [(path.stem, task) for path in list_specs() for task in load_spec(path).tasks]


@pytest.mark.parametrize("path", list_specs(), ids=lambda path: path.stem)
def test_plans_are_as_reviewed(path: Path, request: pytest.FixtureRequest):
    plans = [exporter.plan(path, task) for task in load_spec(path).tasks]
    text = "\n".join("\n".join(plan_text(plan)) for plan in plans) + "\n"
    golden = PLANS / f"{path.stem}.txt"
    if request.config.getoption("--update-goldens"):
        golden.write_text(text, "utf-8")
    assert text == golden.read_text("utf-8")


def test_every_golden_plan_has_its_spec():
    assert {path.stem for path in PLANS.iterdir()} == {path.stem for path in list_specs()}


@pytest.mark.parametrize(("architecture", "task"), TASKS)
def test_a_plan_survives_its_own_json(architecture: str, task: str):
    plan = exporter.plan(architecture, task)
    assert Plan.from_data(json.loads(json.dumps(plan.to_data()))) == plan


@pytest.mark.parametrize(("architecture", "task"), TASKS)
def test_every_dynamic_axis_is_checked_away_from_its_trace_size(architecture: str, task: str):
    plan = exporter.plan(architecture, task)
    names = {name for graph in plan.graphs for tensor in (*graph.inputs, *graph.outputs) for name in tensor.dims()}
    for name in names:
        sizes = {point.sizes[name] for point in plan.sizes.points[1:]}
        assert sizes
        assert plan.sizes.trace.sizes[name] not in sizes
    # A graph that serves one sentence serves a batch of one. A graph that decodes serves an empty past, where the
    # language allows one.
    for batch in {name for name in names if name == "batch" or name.endswith("_batch")}:
        assert any(point.sizes[batch] == 1 for point in plan.sizes.points)
    if "past_sequence" in names:
        assert any(point.sizes["past_sequence"] == 0 for point in plan.sizes.points)
        assert any(point.sizes["sequence"] == 1 and point.sizes["past_sequence"] > 0 for point in plan.sizes.points)


def test_sizes_of_other_configs_are_followed():
    plan = exporter.plan(
        "gpt2", "causal-lm-with-past", config={"n_layer": 2, "n_head": 5, "n_embd": 60, "vocab_size": 31}
    )
    (graph,) = plan.graphs
    assert [tensor.name for tensor in graph.outputs] == [
        "logits",
        *(f"present.{layer}.{part}" for layer in (0, 1) for part in ("key", "value")),
    ]
    assert graph.outputs[0].shape == ("batch", "sequence", 31)
    assert graph.outputs[1].shape == ("batch", 5, "past_sequence + sequence", 12)
    assert graph.inputs[0].fill.args == (31,)


DERIVED = """spec_version: 1
architecture: vit
extends: image
dims:
  height: {trace: 8, check: [11, 16]}
  stride: 2 ** config.stages
  tokens: {derived: (height + stride - 1) // stride}
tasks: {feature-extraction: {}}
reference: {config: {}}
"""


def test_a_derived_dim_follows_the_dims_it_is_made_of():
    spec = compose_spec(parse_document(Text("vit.yaml", DERIVED))).spec
    config = SimpleNamespace(num_channels=3, image_size=[24, 36], hidden_size=32, stages=2)
    plan = plan_config(spec, spec.tasks["feature-extraction"], config, Options())
    assert plan.graphs[0].outputs[0].shape == ("batch", "tokens", 32)
    assert [point.sizes for point in plan.sizes.points] == [
        {"batch": 2, "height": 8, "tokens": 2},
        {"batch": 1, "height": 11, "tokens": 3},
        {"batch": 3, "height": 16, "tokens": 4},
    ]


WITH_IMAGE = """spec_version: 1
architecture: bert
extends: encoder
dims:
  image_tokens: 1 + config.patches if config.sees else 0
tasks:
  feature-extraction: {outputs: {last_hidden_state: "float[batch, sequence + image_tokens, hidden]"}}
reference: {config: {}, gain: 0.5}
"""


@pytest.mark.parametrize(("sees", "axis"), [(True, "sequence + 10"), (False, "sequence")])
def test_what_a_config_leaves_out_adds_nothing_to_an_axis(sees: bool, axis: str):
    spec = compose_spec(parse_document(Text("bert.yaml", WITH_IMAGE))).spec
    config = SimpleNamespace(hidden_size=32, vocab_size=99, sees=sees, patches=9)
    plan = plan_config(spec, spec.tasks["feature-extraction"], config, Options())
    assert plan.graphs[0].outputs[0].shape == ("batch", axis, 32)
    assert plan.model.reference_gain == 0.5


HEARD = """
spec_version: 1
architecture: wav2vec2
extends: audio
tasks: {feature-extraction: {}}
reference: {config: {}}
"""


@pytest.mark.parametrize(
    ("norm", "processor", "is_masked"),
    [("group", None, False), ("group", True, True), ("group", False, False), ("layer", None, True)],
)
def test_an_input_may_depend_on_the_processor(norm: str, processor: bool | None, is_masked: bool):
    spec = compose_spec(parse_document(Text("wav2vec2.yaml", HEARD))).spec
    config = SimpleNamespace(feat_extract_norm=norm, conv_kernel=[10], conv_stride=[5], hidden_size=32)
    choice = choose_task(spec, spec.tasks["feature-extraction"], Options())
    values = ProcessorValues({} if processor is None else {"return_attention_mask": processor})
    plan = plan_task(choice, config, processor=values)
    names = ["input_values", "attention_mask"]
    assert [tensor.name for tensor in plan.graphs[0].inputs] == names[: 1 + is_masked]


NOTED = """
spec_version: 1
architecture: example
extends: encoder
dims:
  unit: 4 * config.blocks
notes:
  whole: {when: config.blocks > 1, text: "takes whole blocks of {unit} tokens"}
  any: takes any text
tasks:
  fill-mask:
    notes: {any: null}
  token-classification: {}
reference:
  config: {hidden_size: 32, vocab_size: 99}
"""


@pytest.mark.parametrize(
    ("task", "blocks", "notes"),
    [
        ("fill-mask", 2, ("takes whole blocks of 8 tokens",)),
        ("fill-mask", 1, ()),
        ("token-classification", 3, ("takes whole blocks of 12 tokens", "takes any text")),
    ],
)
def test_notes_tell_what_the_config_makes_of_a_graph(task: str, blocks: int, notes: tuple[str, ...]):
    spec = compose_spec(parse_document(Text("example.yaml", NOTED))).spec
    assert spec is not None
    config = SimpleNamespace(hidden_size=32, vocab_size=99, num_labels=7, blocks=blocks)
    plan = plan_config(spec, spec.tasks[task], config, Options())
    assert plan.notes == notes
    assert Plan.from_data(json.loads(json.dumps(plan.to_data()))) == plan


CONDITIONAL = """spec_version: 1
architecture: bert
extends: encoder
tasks:
  fill-mask: {when: config.has_head}
reference: {config: {}}
"""
FIXED = {"batch": 1, "sequence": 8}

REFUSING = """
spec_version: 1
architecture: example
extends: encoder
dims:
  unit: 4 * config.blocks
refused:
  dynamo: {when: unit > 4, because: the number of blocks is fixed}
  float16: {when: config.blocks > 2, because: the scores overflow}
  quantized: {when: config.quantized, because: rounding leaves no bound}
tasks:
  fill-mask: {}
  token-classification: {refused: {quantized: null, dynamo: the mask is built in Python}}
reference:
  config: {hidden_size: 32, vocab_size: 99}
"""


@pytest.mark.parametrize(
    ("task", "config", "options", "message"),
    [
        ("fill-mask", {}, {}, None),
        ("fill-mask", {}, {"tracer": "dynamo"}, None),
        (
            "fill-mask",
            {"blocks": 2},
            {"tracer": "dynamo"},
            "with dynamo cannot be had where unit > 4: the number of blocks is fixed",
        ),
        ("fill-mask", {"blocks": 3}, {}, None),
        (
            "fill-mask",
            {"blocks": 3},
            {"dtype": "float16"},
            "with float16 cannot be had where config.blocks > 2: the scores overflow",
        ),
        (
            "fill-mask",
            {"quantized": True},
            {},
            "example fill-mask cannot be had where config.quantized: rounding leaves no bound",
        ),
        ("token-classification", {"quantized": True}, {}, None),
        ("token-classification", {}, {"tracer": "dynamo"}, "cannot be had with dynamo: the mask is built in Python"),
    ],
)
def test_what_a_config_rules_out_is_refused_with_the_reason(task, config, options, message):
    spec = compose_spec(parse_document(Text("example.yaml", REFUSING))).spec
    assert spec is not None
    config = SimpleNamespace(
        **{"hidden_size": 32, "vocab_size": 99, "num_labels": 7, "blocks": 1, "quantized": False, **config}
    )
    if message is None:
        assert plan_config(spec, spec.tasks[task], config, Options(**options)).task == task
        return
    with pytest.raises(UsageError) as failure:
        plan_config(spec, spec.tasks[task], config, Options(**options))
    assert message in failure.value.message


def test_refusals_are_listed_with_the_configs_they_are_for():
    spec = compose_spec(parse_document(Text("example.yaml", REFUSING))).spec
    assert spec is not None
    text = "\n".join(catalogue_text([spec]))
    assert "    not dynamo where unit > 4: the number of blocks is fixed" in text
    assert "    not where config.quantized: rounding leaves no bound" in text
    table = catalogue_markdown([spec])
    assert "`float16` is refused where `config.blocks > 2`: the scores overflow" in table
    assert ". refused where `config.quantized`: rounding leaves no bound" in table
    fill_mask, _ = catalogue_data([spec])[0]["tasks"]
    assert fill_mask["refused_when"]["quantized"] == {"when": "config.quantized", "because": "rounding leaves no bound"}


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("bert", {"opset": 9}, "opset 9 cannot be had: the torchscript tracer writes opsets 11 to 20"),
        ("bert", {"opset": 14, "tracer": "dynamo"}, "opset 14 cannot be had: the dynamo tracer writes opsets 18 to 23"),
        ("bert", {"opset": 21}, "opset 21 cannot be had"),
        ("t5", {"opset": 11}, "t5 feature-extraction in float32 needs opset 12 or later"),
        ("vit", {"dtype": "bfloat16"}, "Conv takes bfloat16 since opset 22"),
        ("bert", {"dtype": "float8"}, "unknown dtype 'float8'"),
        ("bert", {"tracer": "fx"}, "unknown tracer 'fx'"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(architecture, options, message):
    with pytest.raises(UsageError) as failure:
        exporter.plan(architecture, "default", **options)
    assert message in failure.value.message
    assert failure.value.help


def test_each_tracer_reaches_the_opsets_it_promises():
    assert OPSETS["torchscript"] == range(11, 21)
    assert 18 in OPSETS["dynamo"]
    for opset in OPSETS["torchscript"]:
        assert exporter.plan("bert", "default", opset=opset).recording.opset == opset


def test_a_checkpoint_is_judged_by_the_largest_value_and_never_too_closely():
    spec = load_spec("bert")
    task = spec.tasks["fill-mask"]
    task = replace(task, tolerances={"float32": replace(task.tolerances["float32"], atol=1e-6, rtol=1e-7)})
    config = SimpleNamespace(hidden_size=32, vocab_size=99, type_vocab_size=2)

    def bound(*, is_reference: bool, **options: float) -> Bound:
        return plan_task(choose_task(spec, task, Options(**options)), config, is_reference=is_reference).bound

    assert bound(is_reference=True) == Bound(1e-6, 1e-7, "element", task.tolerances["float32"].because)
    assert bound(is_reference=False) == Bound(1e-6, CHECKPOINT_RTOL, "output", task.tolerances["float32"].because)
    asked = bound(is_reference=False, atol=0.5, rtol=0.0)
    assert (asked.atol, asked.rtol) == (0.5, 0.0)


def test_a_bound_tells_what_a_target_casts():
    plan = exporter.plan("bert", "fill-mask", target="neuron", settings={"auto_cast": "all"}, dims=FIXED)
    assert plan.model.dtype == "float32"
    assert plan.bound.atol == load_spec("bert").tasks["fill-mask"].tolerances["bfloat16"].atol
    assert plan.bound.because.startswith("operations on float32 are cast to bfloat16; ")


def test_a_plan_holds_what_was_asked_of_its_recording():
    plan = exporter.plan("bert", "fill-mask", opset=19, tracer="dynamo", weights="external", seed=5)
    recording = plan.recording
    assert (recording.opset, recording.tracer, recording.weights) == (19, "dynamo", "external")
    assert (recording.target, recording.layout, recording.tracer_because) == ("onnx", "flat", None)
    assert plan.sizes.seed == 5
    assert plan.sizes.probes == {}
    assert list(exporter.plan("bert", "fill-mask", target="torchscript").sizes.probes) == ["batch", "sequence"]


def test_a_task_that_a_config_does_not_have_is_refused_with_the_condition():
    spec = compose_spec(parse_document(Text("bert.yaml", CONDITIONAL))).spec
    config = SimpleNamespace(hidden_size=32, vocab_size=99, num_labels=7, has_head=False)
    with pytest.raises(UsageError) as failure:
        plan_config(spec, spec.tasks["fill-mask"], config, Options())
    assert failure.value.message == "the task 'fill-mask' needs a config where config.has_head"
    assert failure.value.help == "see bert.yaml:5:21"
    config.has_head = True
    assert plan_config(spec, spec.tasks["fill-mask"], config, Options()).task == "fill-mask"


def test_an_input_is_there_where_its_condition_holds():
    spec = load_spec("bert")
    config = SimpleNamespace(hidden_size=32, vocab_size=99, type_vocab_size=0)
    plan = plan_config(spec, spec.tasks["fill-mask"], config, Options())
    assert [tensor.name for tensor in plan.graphs[0].inputs] == ["input_ids", "attention_mask"]
    config.type_vocab_size = 2
    plan = plan_config(spec, spec.tasks["fill-mask"], config, Options())
    assert plan.graphs[0].inputs[2].fill == FillPlan("randint", (2,))


def test_tensors_of_a_layer_stay_together():
    plan = exporter.plan("t5", "text2text-generation-with-past", config={"num_decoder_layers": 2})
    names = [tensor.name for tensor in plan.graphs[2].inputs if tensor.name.startswith("past")]
    assert names == [
        f"past_key_values.{layer}.{stack}.{part}"
        for layer in (0, 1)
        for stack in ("decoder", "encoder")
        for part in ("key", "value")
    ]


def test_a_config_that_contradicts_the_spec_is_told_with_its_place():
    spec = load_spec("gpt2")
    task = spec.tasks["text-generation-with-past"]
    config = SimpleNamespace(n_head=4, n_embd=40, vocab_size=99, num_layers=3)
    with pytest.raises(SpecError) as failure:
        plan_config(spec, task, config, Options())
    (finding,) = failure.value.diagnostics
    assert finding.rule == "unknown-config-key"
    assert finding.span.source.name.endswith("gpt2.yaml")
    assert "n_layer" in finding.message


def test_unknown_tasks_are_told_with_the_nearest():
    with pytest.raises(UsageError) as failure:
        exporter.plan("bert", "fil-mask")
    assert failure.value.help == "did you mean 'fill-mask'?"
    with pytest.raises(UsageError, match="the architecture 'vit' has no task 'fill-mask'"):
        exporter.plan("vit", "fill-mask")


def test_a_task_is_found_by_its_name_and_by_its_retired_name():
    spec = load_spec("gpt2")
    task = spec.tasks["text-generation-with-past"]
    assert find_task(spec, "causal-lm-with-past") is find_task(spec, "text-generation-with-past") is task


def test_layers_beyond_any_models_are_refused():
    with pytest.raises(SpecError, match="a name is repeated for 999,999,999 layers; at most 2,000 are allowed"):
        exporter.plan("gpt2", "text-generation-with-past", config={"n_layer": 999_999_999})

"""What a request means, and every way in which it cannot be had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from exporter.errors import UsageError
from exporter.language.loading import load_spec
from exporter.language.spec import MinimumOpset, Spec, TargetLimit
from exporter.planning.arrangement import Arrangement
from exporter.planning.choices import Choice, choose, default_opset, default_tracer, refuse_config
from exporter.planning.options import Options
from exporter.planning.sizes import Sizes
from exporter.planning.target import Flag, Settings, Target
from exporter.planning.tracers import Shortfall

OPSETS = {"torchscript": range(11, 21), "dynamo": range(18, 24)}
FLAT = Arrangement("flat")

TEXT = """
spec_version: 1
architecture: example
extends: encoder
patches: {kept-masks: masks are dropped}
refused:
  float16: the scores overflow
  dynamo: {when: config.blocks > 1, because: the number of blocks is fixed}
  bfloat16: {when: config.blocks > 2, because: rounding leaves no bound}
  quantized: {when: config.quantized, because: nothing is left of it}
tasks:
  fill-mask: {}
  token-classification: {refused: {dynamo: the mask is built in Python}}
reference: {config: {hidden_size: 32, vocab_size: 99}}
"""


@pytest.fixture(scope="module")
def spec(make_spec: Callable[[str], Spec]) -> Spec:
    return make_spec(TEXT)


@pytest.fixture(scope="module")
def target(make_target: Callable[..., Target]) -> Target:
    return make_target(opsets=OPSETS)


def refused(spec: Spec, task: str, target: Target, options: Options, arrangement: Arrangement = FLAT) -> UsageError:
    with pytest.raises(UsageError) as failure:
        choose(spec, spec.tasks[task], options, target, arrangement)
    return failure.value


def test_what_is_not_asked_for_is_the_specs_or_the_engines(spec: Spec, target: Target):
    choice = choose(spec, spec.tasks["fill-mask"], Options(), target, FLAT)
    assert (choice.tracer, choice.opset, choice.computed) == ("torchscript", 18, "float32")
    assert choice.graphs == spec.tasks["fill-mask"].graphs
    assert choice.tolerance == spec.tasks["fill-mask"].tolerances["float32"]
    assert choice.title == "example fill-mask"
    asked = choose(spec, spec.tasks["fill-mask"], Options(tracer="dynamo", opset=21), target, FLAT)
    assert (asked.tracer, asked.opset) == ("dynamo", 21)


@pytest.mark.parametrize(
    ("task", "options", "words"),
    [
        ("fill-mask", {"tracer": "fx"}, ("unknown tracer 'fx'", "the tracers are: dynamo, torchscript")),
        ("fill-mask", {"dtype": "int8"}, ("unknown dtype 'int8'", "the dtypes are: bfloat16, float16, float32")),
        (
            "fill-mask",
            {"dtype": "float16"},
            (
                "example fill-mask cannot be had with float16: the scores overflow",
                "leave --dtype out, or choose another",
            ),
        ),
        (
            "token-classification",
            {"tracer": "dynamo"},
            (
                "example token-classification cannot be had with dynamo: the mask is built in Python",
                "leave --tracer out, or choose another",
            ),
        ),
        (
            "fill-mask",
            {"opset": 10},
            ("opset 10 cannot be had: the torchscript tracer writes opsets 11 to 20", "choose an opset in that range"),
        ),
        (
            "fill-mask",
            {"opset": 22},
            ("opset 22 cannot be had: the torchscript tracer writes opsets 11 to 20", "use --tracer dynamo"),
        ),
        (
            "token-classification",
            {"opset": 22},
            ("opset 22 cannot be had: the torchscript tracer writes opsets 11 to 20", "choose an opset in that range"),
        ),
        ("fill-mask", {"settings": {"thin": True}}, ("--thin does not go with the target paper", "leave it out")),
    ],
)
def test_each_refusal_has_its_words(
    spec: Spec, target: Target, task: str, options: dict[str, Any], words: tuple[str, str | None]
):
    error = refused(spec, task, target, Options(**options))
    assert (error.message, error.help) == words


def test_the_layout_refuses_before_the_spec(spec: Spec, target: Target):
    arrangement = Arrangement("shelf", refused={"float16": "it has no name for it"})
    error = refused(spec, "fill-mask", target, Options(dtype="float16"), arrangement)
    assert error.message == "the layout shelf cannot be had in float16: it has no name for it"


def test_default_opsets_follow_the_dtype_and_the_spec(spec: Spec, target: Target):
    assert [default_opset(spec, dtype) for dtype in ("float32", "float16", "bfloat16")] == [18, 18, 20]
    late = replace(spec, minimum_opsets={"float32": MinimumOpset(12, "Einsum"), "bfloat16": MinimumOpset(22, "Conv")})
    assert [default_opset(late, dtype) for dtype in ("float32", "float16", "bfloat16")] == [18, 18, 22]
    assert choose(spec, spec.tasks["fill-mask"], Options(dtype="bfloat16"), target, FLAT).opset == 20


def test_an_opset_below_the_models_minimum_is_refused(spec: Spec, target: Target):
    late = replace(spec, minimum_opsets={"float32": MinimumOpset(16, "GridSample came with it")})
    error = refused(late, "fill-mask", target, Options(opset=15))
    assert error.message == "example fill-mask in float32 needs opset 16 or later: GridSample came with it"
    assert error.help == "use --opset 16"
    assert choose(late, late.tasks["fill-mask"], Options(opset=16), target, FLAT).opset == 16


def test_a_minimum_beyond_the_tracer_is_told_with_both_reasons(spec: Spec, target: Target):
    late = replace(spec, minimum_opsets={"bfloat16": MinimumOpset(22, "Conv takes it since then")})
    error = refused(late, "token-classification", target, Options(dtype="bfloat16"))
    assert error.message == (
        "opset 22 cannot be had: example token-classification in bfloat16 needs it (Conv takes it since then), "
        "and the torchscript tracer writes opsets 11 to 20"
    )
    assert error.help == "use another dtype"
    assert refused(late, "fill-mask", target, Options(dtype="bfloat16")).help == "use --tracer dynamo"


def test_an_opset_too_low_for_a_patch_is_refused(spec: Spec, target: Target):
    task = replace(spec.tasks["fill-mask"], patches={"empty-axes": "a block may be empty"})
    patched = replace(spec, tasks={"fill-mask": task})
    error = refused(patched, "fill-mask", target, Options(opset=13))
    assert error.message.startswith("example fill-mask needs opset 14 or later: an axis that may be empty")
    assert choose(patched, task, Options(opset=14), target, FLAT).opset == 14


def test_a_target_without_opsets_has_no_opset_and_no_tracer_to_refuse(spec: Spec, make_target):
    target = make_target(tracer="dynamo", refused_options={"opset": "it has none"})
    choice = choose(spec, spec.tasks["token-classification"], Options(), target, FLAT)
    assert (choice.opset, choice.tracer) == (None, "dynamo")
    error = refused(spec, "fill-mask", target, Options(tracer="torchscript"))
    assert error.message == "the target paper is always recorded by dynamo, not by torchscript"
    error = refused(spec, "fill-mask", target, Options(opset=18))
    assert error.message == "--opset does not go with the target paper: it has none"


@pytest.mark.parametrize(("name", "value"), [("opset", 18), ("merged", True), ("weights", "external")])
def test_options_that_mean_nothing_for_a_target_are_refused(spec: Spec, make_target, name: str, value: Any):
    target = make_target(opsets=OPSETS, refused_options={name: "it is paper"})
    choose(spec, spec.tasks["fill-mask"], Options(), target, FLAT)
    error = refused(spec, "fill-mask", target, replace(Options(), **{name: value}))
    assert error.message == f"--{name} does not go with the target paper: it is paper"


def test_a_spec_may_refuse_a_target(spec: Spec, target: Target):
    limit = TargetLimit("ink runs", (), None, {}, spec.span)
    task = replace(spec.tasks["fill-mask"], targets={"paper": limit})
    error = refused(replace(spec, tasks={"fill-mask": task}), "fill-mask", target, Options())
    assert error.message == "example fill-mask cannot be had as paper: ink runs"


def cast(settings: Settings, dtype: str) -> str:
    return "float16" if settings.get("cast") else dtype


def test_the_bound_is_that_of_the_dtype_computed_in(spec: Spec, make_target):
    target = make_target(opsets=OPSETS, computed_dtype=cast, flags=(Flag("cast", bool, "cast it."),))
    task = spec.tasks["fill-mask"]
    options = Options(settings={"cast": True})
    choice = choose(spec, task, options, target, FLAT)
    assert (choice.computed, choice.tolerance) == ("float16", task.tolerances["float16"])
    bare = replace(task, tolerances={"float32": task.tolerances["float32"]})
    narrow = replace(spec, tasks={"fill-mask": bare})
    error = refused(narrow, "fill-mask", target, options)
    assert error.message == "the spec has no tolerance for float16, which the target paper casts float32 to"
    assert error.help == "give --atol and --rtol, or add one under 'tolerances'"
    assert refused(narrow, "fill-mask", target, replace(options, atol=0.1)).message == error.message
    assert choose(narrow, bare, replace(options, atol=0.1, rtol=0.0), target, FLAT).tolerance is None
    error = refused(narrow, "fill-mask", target, Options(dtype="bfloat16"))
    assert error.message == "the spec has no tolerance for bfloat16"


def test_patches_are_those_of_task_graphs_and_target(spec: Spec, make_target):
    task = spec.tasks["fill-mask"]
    graph = replace(task.graphs[0], patches={"empty-axes": "the graph's"})
    task = replace(task, graphs=(graph,))
    target = make_target(opsets=OPSETS, patches={"kept-masks": "the target's own", "inked": "it is paper"})
    choice = choose(spec, task, Options(), target, FLAT)
    assert choice.patches == {"kept-masks": "the target's own", "empty-axes": "the graph's", "inked": "it is paper"}


# Forms of a task of several graphs


def components(choice: Choice) -> list[str]:
    return [graph.component for graph in choice.graphs]


def test_a_task_of_several_graphs_has_its_forms(target: Target):
    spec = load_spec("t5")
    task = spec.tasks["text2text-generation-with-past"]
    plain = choose(spec, task, Options(), target, FLAT)
    merged = choose(spec, task, Options(merged=True), target, FLAT)
    assert components(plain) == ["encoder", "decoder", "decoder_with_past"]
    assert components(merged) == ["encoder", "decoder_model_merged"]
    assert components(choose(spec, task, Options(), target, Arrangement("shelf", merged=True))) == components(merged)
    assert len(choose(spec, task, Options(monolith=True), target, FLAT).graphs) == 1
    assert plain.asked == ("torchscript", "float32")
    assert merged.asked == ("torchscript", "float32", "merged")


def test_forms_that_cannot_be_had_are_refused(target: Target):
    spec = load_spec("t5")
    name = "text2text-generation-with-past"
    task = spec.tasks[name]
    both = Options(monolith=True, merged=True)
    assert refused(spec, name, target, both).message == "--monolith and --merged ask for two forms of one task"
    shelf = Arrangement("shelf", merged=True)
    error = refused(spec, name, target, Options(monolith=True), shelf)
    assert error.message == "--monolith and --layout shelf ask for two forms of one task"

    without = replace(spec, tasks={name: replace(task, merged=(), monolith=None)})
    error = refused(without, name, target, Options(merged=True))
    assert error.message == f"t5 {name} cannot be had with one decoder for every step"
    assert error.help == "leave --merged out, or declare 'merged:' under the task"
    assert refused(without, name, target, Options(), shelf).help == (
        "leave --layout out, or declare 'merged:' under the task"
    )
    error = refused(without, name, target, Options(monolith=True))
    assert error.message == f"t5 {name} cannot be had as a single graph"

    unwilling = replace(spec, tasks={name: replace(task, refused={"merged": "its cache has two shapes"})})
    error = refused(unwilling, name, target, Options(merged=True))
    assert error.message == f"t5 {name} cannot be had merged: its cache has two shapes"


def test_a_task_of_one_graph_has_one_form(spec: Spec, target: Target):
    choice = choose(spec, spec.tasks["fill-mask"], Options(), target, Arrangement("shelf", merged=True))
    assert components(choice) == ["model"]
    for options, flag in ((Options(monolith=True), "--monolith"), (Options(merged=True), "--merged")):
        error = refused(spec, "fill-mask", target, options)
        assert error.message == f"{flag} means nothing for example fill-mask, which is one graph"
        assert error.help == f"leave {flag} out"
    seq2seq = load_spec("t5")
    error = refused(seq2seq, "text-encoding", target, Options(merged=True))
    several = "choose a task that has several: --task text2text-generation-with-past"
    assert error.help == f"leave --merged out, or {several}"


# What a config rules out


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ({}, {}, None),
        ({"blocks": 3}, {}, None),
        ({"blocks": 2}, {"dtype": "bfloat16"}, None),
        (
            {"blocks": 2},
            {"tracer": "dynamo"},
            "example fill-mask with dynamo cannot be had where config.blocks > 1: the number of blocks is fixed",
        ),
        (
            {"blocks": 3},
            {"dtype": "bfloat16"},
            "example fill-mask with bfloat16 cannot be had where config.blocks > 2: rounding leaves no bound",
        ),
        (
            {"quantized": True},
            {},
            "example fill-mask cannot be had where config.quantized: nothing is left of it",
        ),
    ],
)
def test_what_a_config_rules_out_is_refused_for_that_config(
    spec: Spec, target: Target, config: dict[str, Any], options: dict[str, Any], message: str | None
):
    choice = choose(spec, spec.tasks["fill-mask"], Options(**options), target, FLAT)
    sizes = Sizes(spec, SimpleNamespace(**{"blocks": 1, "quantized": False, **config}))
    if message is None:
        refuse_config(choice, sizes)
        return
    with pytest.raises(UsageError) as failure:
        refuse_config(choice, sizes)
    assert failure.value.message == message
    assert str(failure.value.help).startswith("see example.yaml:")


WHY = "PyTorch supports no TorchScript (torch.jit) on Python 3.14 and later"


@pytest.fixture
def without_torchscript(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return what stands in for a Python or a PyTorch that TorchScript is not for."""

    def set_up(gone: bool) -> None:
        monkeypatch.setattr("exporter.planning.choices.shortfalls", lambda: {"torchscript": Shortfall(WHY, gone)})

    return set_up


@pytest.mark.parametrize("gone", [False, True])
def test_where_a_tracer_falls_short_another_is_the_default(
    make_spec: Callable[[str], Spec], target: Target, without_torchscript: Callable[[bool], None], gone: bool
):
    without_torchscript(gone)
    plain = make_spec(TEXT.replace("dynamo: {when: config.blocks > 1, because: the number of blocks is fixed}", ""))
    choice = choose(plain, plain.tasks["fill-mask"], Options(), target, FLAT)
    assert (choice.tracer, choice.tracer_because, choice.opset) == ("dynamo", WHY, 18)
    assert default_tracer(plain.tasks["fill-mask"]) == "dynamo"


def test_an_unsupported_tracer_is_taken_where_no_other_serves(
    spec: Spec, target: Target, without_torchscript: Callable[[bool], None]
):
    """Refused for the task, refused for some configs, and not able to write the opset; or asked for."""
    without_torchscript(False)
    for task, options in (
        ("token-classification", Options()),
        ("fill-mask", Options()),
        ("fill-mask", Options(opset=12)),
        ("fill-mask", Options(tracer="torchscript")),
    ):
        choice = choose(spec, spec.tasks[task], options, target, FLAT)
        assert (choice.tracer, choice.tracer_because) == ("torchscript", None)
    assert default_tracer(spec.tasks["token-classification"]) == "torchscript"


def test_a_tracer_that_is_gone_cannot_be_had(
    spec: Spec, target: Target, make_target: Callable[..., Target], without_torchscript: Callable[[bool], None]
):
    without_torchscript(True)
    assert choose(spec, spec.tasks["fill-mask"], Options(), target, FLAT).tracer == "dynamo"
    title = "example token-classification cannot be had"
    error = refused(spec, "token-classification", target, Options())
    assert error.message == f"{title} with the torchscript tracer: {WHY}; with dynamo: the mask is built in Python"
    assert error.help == "use an earlier version of PyTorch"
    asked = refused(spec, "token-classification", target, Options(tracer="torchscript"))
    assert (asked.message, asked.help) == (f"{title} with the torchscript tracer: {WHY}", "leave --tracer out")
    script = make_target(tracer="torchscript")
    assert refused(spec, "token-classification", script, Options()).message == f"{title} as {script.name}: {WHY}"

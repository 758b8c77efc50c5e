"""EXP6: what a spec declares against what transformers builds of it. One small model in a few states of confusion."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from exporter.cli.render.text import render_diagnostics
from exporter.language.diagnostics import Diagnostic, Severity
from exporter.language.findings import RULES

SIZES = "dim: 24, n_layers: 1, n_heads: 3, hidden_dim: 20, max_position_embeddings: 64, vocab_size: 99"
SPEC = f"""\
spec_version: 1
architecture: distilbert
extends: plain
dims: {{hidden: config.dim}}
arguments: {{return_dict: null}}
outputs_ignored: {{pooler_output: null}}
tasks: {{feature-extraction: {{outputs: {{last_hidden_state: 'float[batch, sequence, hidden]'}}}}}}
reference: {{config: {{{SIZES}}}}}
"""
OUTPUT = "last_hidden_state: 'float[batch, sequence, hidden]'"
Examine = Callable[[str], tuple[Diagnostic, ...]]


@pytest.fixture
def examine(lint_text) -> Examine:
    """Lint a spec of distilbert against its model."""
    return lambda text: lint_text(text, "distilbert.yaml", models=True)


def replace_in_spec(part: str, by: str) -> str:
    """Return the spec with one part of it replaced."""
    assert SPEC.count(part) == 1
    return SPEC.replace(part, by)


def add_input(entry: str) -> str:
    """Return the spec with one more input."""
    return f"{SPEC}inputs: {{{entry}}}\n"


# A document, the rule that finds it, the text under the finding, and a part of its message.
BAD = {
    "a key of another architecture": (
        replace_in_spec("dim: 24", "dim: 24, hidden_sise: 8"),
        "unknown-config-key",
        "hidden_sise",
        "the config of 'distilbert' has no 'hidden_sise'",
    ),
    "a dim of a key nobody has": (
        replace_in_spec("config.dim", "config.dimm"),
        "unknown-config-key",
        ".dimm",
        "the config has no 'dimm'",
    ),
    "a key in the branch not taken": (
        replace_in_spec("config.dim}", "'config.dim if config.n_heads else config.width'}"),
        "unknown-config-key",
        "width",
        "the config has no 'width'",
    ),
    "a key that is asked for and never read": (
        replace_in_spec("config.dim}", "'24 if config.width is defined else config.dim'}"),
        "unknown-config-key",
        "width",
        "the expression asks whether 'width' is defined and never reads it",
    ),
    "an input that forward() does not take": (
        add_input("token_types: 'int64[batch, sequence] = zeros'"),
        "unknown-argument",
        "token_types",
        "takes no 'token_types'",
    ),
    "a constant that forward() does not take": (
        replace_in_spec("return_dict: null", "return_dict: null, use_cash: false"),
        "unknown-argument",
        "feature-extraction",
        "takes no 'use_cash'",
    ),
    "a task without a model": (
        replace_in_spec("feature-extraction: {", "image-classification: {"),
        "no-auto-class",
        "image-classification",
        "AutoModelForImageClassification does not know the architecture 'distilbert'",
    ),
    "heads that do not divide the hidden units": (
        replace_in_spec("n_heads: 3", "n_heads: 5"),
        "reference-does-not-build",
        "dim",
        "",
    ),
    "a text longer than the positions": (
        replace_in_spec("dims: {", "dims: {sequence: {check: [65]}, "),
        "reference-does-not-build",
        "dim",
        "",
    ),
    "a reference that nothing gets through": (
        replace_in_spec("reference: {", "reference: {gain: 1.0e-9, "),
        "not-proved",
        "feature-extraction",
        "model: no output depends on 'attention_mask'",
    ),
    "an axis too few": (
        replace_in_spec(OUTPUT, "last_hidden_state: 'float[batch, hidden]'"),
        "shape-disagrees",
        "float[batch, hidden]",
        "the output 'last_hidden_state' is float32[2, 8, 24], and the spec declares float32[batch, 24]",
    ),
    "two axes swapped": (
        replace_in_spec(OUTPUT, "last_hidden_state: 'float[batch, hidden, sequence]'"),
        "shape-disagrees",
        "float[batch, hidden, sequence]",
        "which is [2, 24, 8] at batch 2, sequence 8",
    ),
    "another dtype": (
        replace_in_spec(OUTPUT, "last_hidden_state: 'int64[batch, sequence, hidden]'"),
        "shape-disagrees",
        "int64[batch, sequence, hidden]",
        "the spec declares int64[batch, sequence, 24]",
    ),
    "an output that nobody returns": (
        replace_in_spec(OUTPUT, f"{OUTPUT}, scores: 'float[batch, sequence]'"),
        "missing-output",
        "float[batch, sequence]",
        "the model returns no 'scores'",
    ),
    "a field that nobody returns": (
        replace_in_spec(OUTPUT, "states: {type: 'float[batch, sequence, hidden]', field: last_state}"),
        "missing-output",
        "float[batch, sequence, hidden]",
        "the model returns no 'last_state' for 'states'",
    ),
    "an output that nobody declares": (
        replace_in_spec("n_heads: 3", "n_heads: 3, output_hidden_states: true"),
        "undeclared-output",
        "feature-extraction",
        "the model returns hidden_states",
    ),
}


@pytest.mark.parametrize(("text", "rule", "place", "message"), BAD.values(), ids=BAD)
def test_what_the_model_does_not_do_is_found(examine: Examine, text: str, rule: str, place: str, message: str):
    diagnostics = examine(text)
    findings = [finding for finding in diagnostics if finding.rule == rule]
    assert findings, render_diagnostics(diagnostics)
    assert message in findings[0].message
    assert findings[0].severity is Severity.ERROR
    assert findings[0].span.text == place


GOOD = {
    "what the model does": SPEC,
    "a field under another name": replace_in_spec(
        OUTPUT, "states: {type: 'float[batch, sequence, hidden]', field: last_hidden_state}"
    ),
    "an output ignored with its reason": replace_in_spec(
        "pooler_output: null", "pooler_output: null, hidden_states: the states between the layers"
    ).replace("n_heads: 3", "n_heads: 3, output_hidden_states: true"),
    "an input under another name": replace_in_spec(
        "dims: {",
        "inputs: {attention_mask: null, mask: {type: 'int64[batch, sequence] = padding', argument: attention_mask}}\n"
        "dims: {",
    ),
    "a key that is read only where it is defined": replace_in_spec(
        "config.dim}", "'config.width if config.width is defined else config.dim'}"
    ),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_what_the_model_does_is_not_found(examine: Examine, text: str):
    assert render_diagnostics(examine(text)) == ""


def test_without_models_none_of_these_rules_speaks(lint_text):
    for text, *_ in BAD.values():
        assert lint_text(text, "distilbert.yaml") == ()


def test_a_spec_that_cannot_be_read_is_not_built(examine: Examine):
    diagnostics = examine(add_input("x: 'int46[batch] = ones'").replace("dim: 24", "dim: 24, hidden_sise: 8"))
    assert [finding.rule for finding in diagnostics] == ["malformed-tensor"]


def test_a_finding_about_the_model_can_be_suppressed(examine: Examine):
    text = replace_in_spec(
        f"{{config: {{{SIZES}}}}}", f"{{config: {{{SIZES}, extra: 1}}}}  # exporter: ignore[EXP601] ours"
    )
    assert examine(text) == ()


def test_exactly_the_rules_about_models_need_them():
    assert {rule.name for rule in RULES.values() if rule.needs_models} == {
        rule.name for rule in RULES.values() if rule.code.startswith("EXP6")
    }

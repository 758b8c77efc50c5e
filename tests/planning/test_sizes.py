"""The dims of a spec on a config."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from exporter.language.diagnostics import Diagnostic, SpecError
from exporter.language.spec import DerivedDim, Spec
from exporter.planning.sizes import Sizes

TEXT = """
spec_version: 1
architecture: example
extends: image
dims:
  height: {trace: 8, check: [11, 16]}
  stride: 2 ** config.stages
  width_of_head: hidden // heads
  heads: config.heads
  rows: {derived: (height + stride - 1) // stride}
  left: right + 1
  right: left - 1
  half: config.hidden_size / 2
  below: config.stages - 9
  flag: config.is_big
  lost: config.nonsense
tasks: {feature-extraction: {}}
refused: {wide: {when: config.hidden_size > 40, because: it is wide}}
reference: {config: {}}
"""


@pytest.fixture(scope="module")
def spec(make_spec: Callable[[str], Spec]) -> Spec:
    return make_spec(TEXT)


def make_sizes(spec: Spec, **config: Any) -> Sizes:
    values = {"stages": 2, "hidden_size": 33, "heads": 4, "is_big": True, **config}
    return Sizes(spec, SimpleNamespace(**values))


def finding(sizes: Sizes, name: str, spec: Spec) -> Diagnostic:
    with pytest.raises(SpecError) as failure:
        sizes.static(name, spec.span)
    (diagnostic,) = failure.value.diagnostics
    return diagnostic


def test_static_dims_are_evaluated_on_the_config_in_any_order(spec: Spec):
    sizes = make_sizes(spec)
    assert sizes.static("stride", spec.span) == 4
    assert sizes.static("width_of_head", spec.span) == 8
    assert make_sizes(spec, stages=3).static("stride", spec.span) == 8


def test_a_static_dim_is_evaluated_once(spec: Spec):
    sizes = make_sizes(spec)
    sizes.static("heads", spec.span)
    sizes.config.heads = 5
    assert sizes.static("heads", spec.span) == 4


def test_a_derived_dim_follows_the_sizes_it_is_given(spec: Spec):
    sizes = make_sizes(spec)
    rows = spec.dims["rows"]
    assert isinstance(rows, DerivedDim)
    assert [sizes.derived(rows, {"height": height}) for height in (8, 9, 16)] == [2, 3, 4]


def test_conditions_hold_or_do_not(spec: Spec):
    condition = spec.tasks["feature-extraction"].refused_when["wide"].when
    assert not make_sizes(spec).holds(condition)
    assert make_sizes(spec, hidden_size=64).holds(condition)


@pytest.mark.parametrize(
    ("name", "rule", "message"),
    [
        ("altitude", "unknown-dim", "unknown dim 'altitude'"),
        ("height", "unknown-dim", "the dim 'height' is dynamic and has no one size"),
        ("rows", "unknown-dim", "the dim 'rows' is dynamic and has no one size"),
        ("half", "malformed-expression", "the dim 'half' is 16.5 on this config, not a size"),
        ("below", "malformed-expression", "the dim 'below' is -7 on this config, not a size"),
        ("flag", "malformed-expression", "the dim 'flag' is True on this config, not a size"),
        ("left", "circular-dim", "the dims go in a circle: left → right → left"),
    ],
)
def test_what_is_no_size_is_told_with_its_place(spec: Spec, name: str, rule: str, message: str):
    diagnostic = finding(make_sizes(spec), name, spec)
    assert (diagnostic.rule, diagnostic.message) == (rule, message)


def test_a_key_that_the_config_lacks_is_told_where_it_is_named(spec: Spec):
    diagnostic = finding(make_sizes(spec), "lost", spec)
    assert diagnostic.rule == "unknown-config-key"
    assert "nonsense" in diagnostic.message
    assert diagnostic.span.location().startswith("example.yaml:16:")


def test_a_near_name_is_suggested(spec: Spec):
    assert finding(make_sizes(spec), "strid", spec).help == "did you mean 'stride'?"

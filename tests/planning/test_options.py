"""Options and the texts of dims."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import UsageError
from exporter.planning.options import Options, parse_dims

names = st.from_regex(r"[a-z][a-z_0-9]{0,8}", fullmatch=True)


@given(st.dictionaries(names, st.integers(1, 10**9)))
def test_dims_are_read_as_they_are_written(sizes: dict[str, int]):
    assert parse_dims(f"{name}={size}" for name, size in sizes.items()) == sizes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sequence",
        "sequence=",
        "=8",
        "sequence=0",
        "sequence=-1",
        "sequence=1.5",
        "sequence=x",
        "a=1=2",
        "a b=1",
        "1a=2",
    ],
)
def test_what_is_no_dim_and_its_size_is_refused(text: str):
    with pytest.raises(UsageError) as failure:
        parse_dims(["batch=1", text])
    assert failure.value.message == f"'{text}' is not a dim and its size"
    assert failure.value.help == "write --dim sequence=128"


def test_a_dim_has_one_size():
    with pytest.raises(UsageError, match="the dim 'batch' is given twice"):
        parse_dims(["batch=1", "sequence=8", "batch=1"])


def test_nothing_is_asked_for_by_default():
    options = Options()
    assert (options.layout, options.dtype, options.weights) == ("flat", "float32", "auto")
    assert not any((options.dims, options.settings, options.static, options.monolith, options.merged))
    assert {options.opset, options.tracer, options.atol, options.rtol, options.variant} == {None}

"""What the tests of planning share: specs from text, and targets that exist in name only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.language.composing import compose_spec
from exporter.language.document import parse_document
from exporter.language.spec import Spec
from exporter.language.text import Text
from exporter.planning.target import Target


def _never(*_: Any, **__: Any) -> Any:
    raise AssertionError("planning opens, writes and checks nothing")


@pytest.fixture(scope="session")
def make_spec() -> Callable[[str], Spec]:
    """Return the spec that a text describes."""

    def make(text: str) -> Spec:
        composed = compose_spec(parse_document(Text("example.yaml", text)))
        assert composed.spec is not None, composed.diagnostics
        return composed.spec

    return make


@pytest.fixture(scope="session")
def make_target() -> Callable[..., Target]:
    """Return a target with the given fields."""

    def make(**fields: Any) -> Target:
        named = {
            "name": "paper",
            "suffix": ".txt",
            "library": "pencil",
            "card_template": Path("card.md.jinja"),
            **fields,
        }
        return Target(load_exporter=_never, open_session=_never, check_structure=_never, **named)

    return make

"""Load a spec by path or architecture, refusing one with errors."""

from __future__ import annotations

from pathlib import Path

from exporter.errors import UsageError
from exporter.language.catalog import display_name, find_spec
from exporter.language.diagnostics import SpecError
from exporter.language.document import load_document
from exporter.language.linting import check_spec
from exporter.language.spec import Spec


def load_spec(name: str | Path) -> Spec:
    """Return the composed spec of a path or an architecture.

    Raises:
        UsageError: there is no such spec, or it cannot be read.
        SpecError: the spec has findings of severity error; it carries all of them.
    """
    path = find_spec(str(name))
    try:
        document = load_document(path, display_name(path))
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}") from None
    composition, errors = check_spec(document)
    if errors:
        raise SpecError(errors)
    if composition is None or composition.spec is None:
        raise UsageError(
            f"'{path}' is not a spec", help="a spec starts with 'spec_version', 'architecture' and 'extends'"
        )
    return composition.spec

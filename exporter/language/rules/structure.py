"""EXP1: the document against its schema."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.language.diagnostics import Diagnostic
from exporter.language.rules.registry import Subject, rule, staged


@rule("EXP101", "unknown-key")
def unknown_key(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A key is not one the language has at this place.

    **Why it is bad:** a key nobody reads is a fact that is not acted on, most often a misspelt one.

    **Example**

    ```yaml
    task:
      fill-mask: {}
    ```

    **Use instead**

    ```yaml
    tasks:
      fill-mask: {}
    ```
    """
    return staged(subject, "unknown-key")


@rule("EXP102", "missing-key")
def missing_key(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A required key is absent, in the spec or after composing it with its family.

    **Why it is bad:** there is no good default: a spec without a reference cannot be proved, a tolerance without `rtol` is no bound.

    **Example**

    ```yaml
    sequence: {trace: 8}
    ```

    **Use instead**

    ```yaml
    sequence: {trace: 8, check: [1, 13]}
    ```
    """
    return staged(subject, "missing-key")


@rule("EXP103", "wrong-type")
def wrong_type(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A value is of another kind than the key takes: text for a number, a list for a mapping.

    **Why it is bad:** it cannot mean what was intended. Quoted numbers are the usual case.

    **Example**

    ```yaml
    sequence: {trace: "8", check: [1, 13]}
    ```

    **Use instead**

    ```yaml
    sequence: {trace: 8, check: [1, 13]}
    ```
    """
    return staged(subject, "wrong-type")


@rule("EXP104", "wrong-value")
def wrong_value(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A value is of the right kind, but not one the key takes.

    **Why it is bad:** the value names something that does not exist or lies outside the allowed range.

    **Example**

    ```yaml
    tracer: torch
    ```

    **Use instead**

    ```yaml
    tracer: torchscript
    ```
    """
    return staged(subject, "wrong-value")

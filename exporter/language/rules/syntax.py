"""EXP0: the text as YAML."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.language.diagnostics import Diagnostic
from exporter.language.rules.registry import Subject, rule, staged


@rule("EXP001", "yaml-syntax", suppressible=False)
def yaml_syntax(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """The file is not YAML.

    **Why it is bad:** nothing in it can be read, so nothing else is checked.

    **Example**

    ```yaml
    dims: {batch: 2
    ```

    **Use instead**

    ```yaml
    dims: {batch: 2}
    ```
    """
    return staged(subject, "yaml-syntax")


@rule("EXP002", "duplicate-key", suppressible=False)
def duplicate_key(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A key is given twice in one mapping. The finding shows both places.

    **Why it is bad:** one of the two values would be lost without a word.

    **Example**

    ```yaml
    tasks:
      fill-mask: {}
      fill-mask: {outputs: {logits: "float[batch, sequence, vocab]"}}
    ```

    **Use instead:** one key with the value that is meant.
    """
    return staged(subject, "duplicate-key")


@rule("EXP003", "forbidden-yaml", suppressible=False)
def forbidden_yaml(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """The file uses YAML beyond plain data: anchors, aliases, tags, merge keys, several documents, control characters, or more
    size or depth than a spec can need.

    **Why it is bad:** a spec is read by people and by other tools. Indirection hides what it says, tags run code in careless
    loaders, and a few nested aliases can grow to fill any memory.

    **Example**

    ```yaml
    inputs: &text
      input_ids: int64[batch, sequence] = randint(vocab)
    ```

    **Use instead:** write the value out; what several specs share goes into their family.
    """
    return staged(subject, "forbidden-yaml")

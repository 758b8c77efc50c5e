"""EXP6: against transformers. `lint --models` builds each reference; examination.py finds these; here is what they mean."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.language.diagnostics import Diagnostic
from exporter.language.rules.registry import Subject, rule, staged


@rule("EXP601", "unknown-config-key", models=True)
def unknown_config_key(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """The reference sets a key that the config of the architecture does not have, or an expression reads one.

    **Why it is bad:** transformers keeps unknown keys without a word, so the size that was meant keeps its default.

    **Example:** `reference: {config: {hidden_sise: 32}}`

    **Use instead:** `reference: {config: {hidden_size: 32}}`
    """
    return staged(subject, "unknown-config-key")


@rule("EXP602", "unknown-argument", models=True)
def unknown_argument(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """An input or argument is not a parameter of the model's `forward()`.

    **Why it is bad:** many models swallow unknown keywords, and the graph would have an input that does nothing.

    **Example:** `token_types: int64[batch, sequence] = randint(type_vocab)`

    **Use instead:** `token_type_ids: int64[batch, sequence] = randint(type_vocab)`
    """
    return staged(subject, "unknown-argument")


@rule("EXP603", "no-auto-class", models=True)
def no_auto_class(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """transformers has no model of this architecture for the task.

    **Why it is bad:** there is nothing to export.

    **Example:** `image-classification: {}` in the spec of a text encoder.

    **Use instead:** the tasks the architecture has, or `class:` where a model exists that no auto class knows.
    """
    return staged(subject, "no-auto-class")


@rule("EXP604", "reference-does-not-build", models=True)
def reference_does_not_build(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """The model cannot be made from the reference's config, or refuses the declared inputs at some size.

    **Why it is bad:** the spec cannot be proved.

    **Example:** `{hidden_size: 32, num_attention_heads: 5}`

    **Use instead:** `{hidden_size: 40, num_attention_heads: 5}`
    """
    return staged(subject, "reference-does-not-build")


@rule("EXP605", "shape-disagrees", models=True)
def shape_disagrees(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A declared output has another shape or dtype than the model gives.

    **Why it is bad:** clients size their buffers by the declaration.

    **Example:** `logits: float[batch, vocab]` where the model gives a score at each position.

    **Use instead:** `logits: float[batch, sequence, vocab]`
    """
    return staged(subject, "shape-disagrees")


@rule("EXP606", "undeclared-output", models=True)
def undeclared_output(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """The model returns a tensor the spec neither declares nor ignores with a reason.

    **Why it is bad:** somebody may need it, and nobody decided that they do not.

    **Example:** a spec with `outputs: {last_hidden_state: …}` for a model that also returns `pooler_output`.

    **Use instead:** declare it, or write `outputs_ignored: {pooler_output: the reason}`.
    """
    return staged(subject, "undeclared-output")


@rule("EXP607", "missing-output", models=True)
def missing_output(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A declared output is not among what the model returns.

    **Why it is bad:** there is nothing to export under that name.

    **Example:** `outputs: {scores: "float[batch, labels]"}` for a model that returns `logits`.

    **Use instead:** the field's own name, or `scores: {type: "float[batch, labels]", field: logits}`.
    """
    return staged(subject, "missing-output")

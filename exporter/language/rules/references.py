"""EXP2: names that point at something else."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.errors import did_you_mean
from exporter.language.catalog import find_task, scalar_text
from exporter.language.diagnostics import Diagnostic, Edit, Fix, Label, Severity
from exporter.language.document import Mapping
from exporter.language.expressions import ExpressionError, expression_names
from exporter.language.rules.registry import Subject, finding, rule, staged
from exporter.language.spec import (
    LAYER_DIM,
    LAYER_SLOT,
    DerivedDim,
    DynamicDim,
    Expression,
    Spec,
    StaticDim,
    TensorSpec,
)


@rule("EXP201", "unknown-family")
def unknown_family(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """`extends` names no family.

    **Why it is bad:** without its family a spec has no dims, tasks or tolerances.

    **Example:** `extends: encoders`

    **Use instead:** `extends: encoder`, a file of `families/` beside the spec or in the catalogue.
    """
    return staged(subject, "unknown-family")


@rule("EXP202", "unknown-task")
def unknown_task(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A task is not in the vocabulary, or the family does not offer it and the spec does not define its outputs.

    A task under the feature name of the earlier system (`masked-lm`) is renamed by `--fix`.

    **Why it is bad:** the name decides which model class is built and which pipeline can use the graph.

    **Example**

    ```yaml
    tasks:
      masked-lm: {}
    ```

    **Use instead**

    ```yaml
    tasks:
      fill-mask: {}
    ```
    """
    for diagnostic in staged(subject, "unknown-task"):
        today = find_task(diagnostic.span.text)
        if today is not None and today != diagnostic.span.text:
            fix = Fix(f"rename to '{today}'", (Edit(diagnostic.span, today),))
            yield finding(diagnostic.message, diagnostic.span, diagnostic.help, fix=fix)
        else:
            yield diagnostic


@rule("EXP203", "unknown-dim")
def unknown_dim(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A shape, a fill, an expression or a target's limit names a dim that `dims:` does not bind.

    **Why it is bad:** the axis has no length and no symbolic name.

    **Example**

    ```yaml
    pooler_output: float[batch, hiden]
    ```

    **Use instead**

    ```yaml
    pooler_output: float[batch, hidden]
    ```
    """
    spec = subject.spec
    if spec is None:
        return
    for tensor in tensors_of(spec):
        for term in tensor.type.terms():
            if isinstance(term.value, str) and term.value not in spec.dims:
                message = f"unknown dim '{term.value}' in the type of '{tensor.name}'"
                yield finding(
                    message,
                    tensor.type_span.within(term.start, term.end),
                    did_you_mean(term.value, spec.dims, otherwise="the dims are"),
                )
        if tensor.beyond is not None and tensor.beyond not in spec.dims:
            yield finding(
                f"'{tensor.name}' goes on beyond an unknown dim '{tensor.beyond}'",
                tensor.span,
                did_you_mean(tensor.beyond, spec.dims, otherwise="the dims are"),
            )
        if LAYER_SLOT in tensor.name and LAYER_DIM not in spec.dims:
            yield finding(
                f"'{tensor.name}' is repeated for each layer, but there is no dim '{LAYER_DIM}'",
                tensor.span,
                f"bind '{LAYER_DIM}' under 'dims:', as in 'layers: config.num_hidden_layers'",
            )
    dynamic = [name for name, dim in spec.dims.items() if isinstance(dim, DynamicDim)]
    for task in spec.tasks.values():
        for target, limit in task.targets.items():
            for name in limit.static:
                if name not in dynamic:
                    yield finding(
                        f"'{name}', which {target} bakes in, is no dynamic dim", limit.span,
                        did_you_mean(name, dynamic, otherwise="the dynamic dims are"),
                    )  # fmt: skip
    static = {name for name, dim in spec.dims.items() if isinstance(dim, StaticDim)}
    derived = {id(dim.value) for dim in spec.dims.values() if isinstance(dim, DerivedDim)}
    for expression in expressions_of(spec):
        known = set(spec.dims) if id(expression) in derived else static
        try:
            names = expression_names(expression.text)
        except ExpressionError:
            continue  # malformed-expression has said so
        for name in names:
            if name != "config" and name not in known:
                at = expression.text.find(name)
                reason = "is dynamic and has no one size" if name in spec.dims else "is not a dim"
                yield finding(
                    f"'{name}' in an expression {reason}", expression.span.within(at, at + len(name)),
                    did_you_mean(name, {"config", *known}, otherwise="an expression may name"),
                )  # fmt: skip


@rule("EXP204", "file-name-mismatch", severity=Severity.WARNING)
def file_name_mismatch(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A spec or family is not in a file of its own name.

    **Why it is bad:** architectures are found by file name, so this one would never be.

    **Example:** `architecture: my-model` in `specs/mymodel.yaml`

    **Use instead:** `specs/my-model.yaml`
    """
    key = {"spec": "architecture", "family": "family"}.get(subject.kind)
    name = scalar_text(subject.document, key) if key is not None else None
    path = subject.document.source.path
    if name is not None and path is not None and isinstance(name.value, str) and path.stem != name.value:
        yield finding(
            f"the {key} '{name.value}' is in a file named '{path.name}'",
            name.span,
            f"rename the file to '{name.value}.yaml'",
        )


@rule("EXP205", "duplicate-architecture")
def duplicate_architecture(subject: Subject, subjects: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """Two specs describe the same architecture.

    **Why it is bad:** which of them a build uses would depend on how it is asked for.

    **Example:** `architecture: my-model` in two files.

    **Use instead:** one spec; tasks and conditions (`when:`) belong in it.
    """
    name = scalar_text(subject.document, "architecture")
    if subject.kind != "spec" or name is None:
        return
    for other in subjects:
        if other is subject:
            return  # the first of several is the one that stands
        found = scalar_text(other.document, "architecture")
        if other.kind == "spec" and found is not None and found.value == name.value:
            labels = (Label(found.span, "first described here"),)
            yield finding(
                f"the architecture '{name.value}' has two specs",
                name.span,
                f"keep one; the other is {found.span.location()}",
                labels=labels,
            )
            return


@rule("EXP206", "unknown-component")
def unknown_component(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A task picks a component that neither spec nor family offers.

    **Why it is bad:** the component has no inputs, so there is nothing to export.

    **Example:** `components: {decodr: {}}`

    **Use instead:** `components: {decoder: {}}`, or declare its inputs and outputs.
    """
    return staged(subject, "unknown-component")


def tensors_of(spec: Spec) -> Iterator[TensorSpec]:
    """Iterate over every tensor of every task of a spec."""
    for task in spec.tasks.values():
        for graph in task.all_graphs:
            yield from (*graph.built, *graph.inputs, *graph.outputs)


def expressions_of(spec: Spec) -> Iterator[Expression]:
    """Iterate over every expression of a spec."""
    for dim in spec.dims.values():
        if isinstance(dim, StaticDim | DerivedDim) and isinstance(dim.value, Expression):
            yield dim.value
    for task in spec.tasks.values():
        if task.when is not None:
            yield task.when
        yield from (refusal.when for refusal in task.refused_when.values())
        yield from (note.when for note in task.notes if note.when is not None)
    yield from (tensor.when for tensor in tensors_of(spec) if tensor.when is not None)


def child_mapping(node: Mapping | None, key: str) -> Mapping | None:
    """Return the mapping under a key, or None."""
    found = node.get(key) if node is not None else None
    return found if isinstance(found, Mapping) else None

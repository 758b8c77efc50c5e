"""Apply ``extends`` and the family's tasks: a spec document and its family become a `Spec`.

The order in which the parts of a task are laid over one another is the whole of composition::

    family, spec             inputs, arguments, internals, outputs_ignored, tolerances, tracer, refused, targets,
                             patches, notes
    family, spec             tasks.<task>
    family, spec             cache                       (only in the -with-past form)
    family, spec             tasks.<task>-with-past      (likewise)

Mappings merge by key, scalars and lists replace, ``null`` removes. A task with ``components`` is several graphs, and
each starts from the component of its name at the top of the documents. The ``monolith`` of such a task is one graph,
and starts from the documents' own inputs. Tensors that the cache brings come last in a graph.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from exporter.language.catalog import (
    family_names,
    find_family,
    load_tasks,
    scalar_text,
    task_of_spelling,
    task_of_word,
    task_synonyms,
)
from exporter.language.diagnostics import Diagnostic, Edit, Fix
from exporter.language.document import Document, Mapping, Node, Scalar, parse_document
from exporter.language.effort import Budget, bounded, spend, suggest
from exporter.language.findings import (
    REMOVES_NOTHING,
    TOO_LARGE,
    TOO_MANY_FINDINGS,
    UNKNOWN_COMPONENT,
    UNKNOWN_FAMILY,
    UNKNOWN_TASK,
    Rule,
)
from exporter.language.merging import GRAPH, cache_last, child, is_null, merge_all, monolith_of, only, without
from exporter.language.reading import Reader, read_config, read_float, read_minimum_opsets, read_text, read_variants
from exporter.language.schema import check_schema
from exporter.language.spec import WITH_PAST, Spec, TaskSpec
from exporter.language.text import Span, Text

_SHARED = (
    "inputs",
    "arguments",
    "internals",
    "outputs_ignored",
    "tolerances",
    "tracer",
    "refused",
    "targets",
    "patches",
    "notes",
)
_PICKS = ("components", "merged")
# Of all tasks of a spec. The largest spec of the catalogue has a tenth of them.
MAX_TENSORS = 5_000
# Findings of a family that each of its specs repeats.
_MAX_OF_FAMILY = 100
_UNBOUNDED = 1 << 62


@dataclass(frozen=True, slots=True)
class Composition:
    """What composing gave: the meaning where there is one, the composed tree for ``show``, and all findings."""

    spec: Spec | None
    tree: Mapping | None
    family: Document | None
    diagnostics: tuple[Diagnostic, ...]


def compose_spec(document: Document) -> Composition:
    """Compose a schema-valid spec document with its family. Never raises for bad content."""
    composer = _Composer(document)
    spec, tree = composer.compose()
    return Composition(spec, tree, composer.family, tuple(dict.fromkeys(composer.diagnostics)))


def check_family(document: Document) -> Composition:
    """Read every tensor line and expression of a family, as if a spec picked each of its tasks.

    What a family leaves to its specs is no mistake in it, so there is no spec in the result: only what cannot be read.
    """
    root = document.root
    name = scalar_text(document, "family")
    if root is None or name is None:
        return Composition(None, None, None, ())
    offered, cache = root.get("tasks"), root.get("cache")
    picked: list[tuple[Scalar, Node]] = []
    for key, _ in offered.entries if isinstance(offered, Mapping) else ():
        picked.append((key, Mapping((), key.span)))
        past = f"{key.value}{WITH_PAST}"
        if cache is not None and not str(key.value).endswith(WITH_PAST) and child(offered, past) is None:
            picked.append((Scalar(past, key.span), Mapping((), key.span)))
    entries = tuple(
        (Scalar(key, name.span), node)
        for key, node in (("architecture", name), ("extends", name), ("tasks", Mapping(tuple(picked), root.span)))
    )
    composer = _Composer(Document(document.source, Mapping(entries, root.span), ()), document)
    composer.compose_with(root)
    return Composition(None, None, None, tuple(dict.fromkeys(composer.diagnostics)))


@lru_cache(maxsize=64)
def _check_text(source: Text) -> tuple[tuple[Diagnostic, ...], int]:
    """Return what the schema finds in a family, and the steps that took: they count for every spec that extends it."""
    with bounded(Budget(_UNBOUNDED)) as budget:
        violations = tuple(check_schema(parse_document(source)))
    return violations, _UNBOUNDED - budget.left


@dataclass
class _Composer:
    """Lays one spec over its family."""

    document: Document
    family: Document | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def compose(self) -> tuple[Spec | None, Mapping | None]:
        root = self.document.root
        architecture, extends = scalar_text(self.document, "architecture"), scalar_text(self.document, "extends")
        if root is None or architecture is None or extends is None:
            return None, None
        self.family = find_family(str(extends.value), self.document.source.path)
        if self.family is None:
            names = family_names(self.document.source.path)
            self._report(
                UNKNOWN_FAMILY,
                f"no family '{extends.value}'",
                extends.span,
                suggest(str(extends.value), names, otherwise="the families are"),
            )
            return None, None
        base = self.family.root
        violations, steps = _check_text(self.family.source)
        spend(steps)
        broken = [*self.family.diagnostics, *violations]
        if base is None or broken:
            self.diagnostics += broken[:_MAX_OF_FAMILY]
            if len(broken) > _MAX_OF_FAMILY:
                end = Span(self.family.source, len(self.family.source.text), len(self.family.source.text))
                message = f"{len(broken) - _MAX_OF_FAMILY:,} more findings of the family are not listed"
                self._report(TOO_MANY_FINDINGS, message, end, "lint the family")
            return None, None
        self._report_idle_removals(base, root)
        return self.compose_with(base)

    def compose_with(self, base: Mapping) -> tuple[Spec | None, Mapping | None]:
        """Lay the spec over its family, whose root is ``base``."""
        root = self.document.root
        architecture, extends = scalar_text(self.document, "architecture"), scalar_text(self.document, "extends")
        if root is None or architecture is None or extends is None:
            return None, None
        dims_node = merge_all((base.get("dims"), root.get("dims")))
        reader = Reader(self.diagnostics)
        dims = dict(reader.dims(dims_node))
        bodies = dict(self._task_bodies(base, root))
        tasks = {name: reader.task(name, key, body) for name, (key, body) in bodies.items()}
        self._limit_tensors(tasks, root)
        reference = child(root, "reference", "config")
        spec = Spec(
            architecture=str(architecture.value),
            family=str(extends.value),
            description=read_text(root.get("description")),
            dims=dims,
            tasks=tasks,
            reference=read_config(reference),
            variants=read_variants(child(root, "reference", "variants")),
            gain=read_float(child(root, "reference", "gain"), 1.0),
            reference_spans={str(key.value): key.span for key, _ in reference.entries}
            if isinstance(reference, Mapping)
            else {},
            minimum_opsets=dict(read_minimum_opsets(merge_all((base.get("opset"), root.get("opset"))))),
            span=architecture.span,
            digest=self._digest(),
        )
        return spec, self._tree(root, dims_node, bodies)

    def _digest(self) -> str:
        """Hash the texts the meaning depends on, so that a changed family changes the digest of its specs."""
        texts = [self.document.source.text, self.family.source.text if self.family is not None else ""]
        return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()

    # Tasks

    def _task_bodies(self, base: Mapping, root: Mapping) -> Iterator[tuple[str, tuple[Scalar, Mapping]]]:
        """Yield each task the spec picks with everything laid over one another."""
        picked = root.get("tasks")
        cache = merge_all((base.get("cache"), root.get("cache")))
        offered = merge_all((base.get("components"), root.get("components")))
        if not isinstance(picked, Mapping):
            return
        for key, node in picked.entries:
            name = str(key.value)
            spend(20)
            stem = name.removesuffix(WITH_PAST)
            with_past = name != stem
            if is_null(node) or not self._is_known(key, picked, base, cache):
                continue
            shared = [only(document, _SHARED) for document in (base, root)]
            under = load_tasks()[stem].extends
            stems = (stem,) if under is None else (under, stem)
            own = [child(document, "tasks", part) for part in stems for document in (base, root)]
            past = [child(document, "tasks", name) for document in (base, root)] if with_past else []
            cached = without(cache, ("components",)) if with_past and cache is not None else None
            before = merge_all((*shared, *own))
            body = merge_all((before, cached, *past)) or Mapping((), key.span)
            picks = body.get("components")
            if isinstance(picks, Mapping):
                monolith = monolith_of(body, before, cached)
                body = self._with_components(body, offered, child(cache, "components") if with_past else None)
                body = monolith(body)
            elif cached is not None:
                body = cache_last(body, cached, before)
            yield name, (key, body)

    def _is_known(self, key: Scalar, picked: Mapping, base: Mapping, cache: Mapping | None) -> bool:
        """Tell whether a task that a spec picks is in the vocabulary, offered or defined, and can have its cache."""
        name = str(key.value)
        stem = name.removesuffix(WITH_PAST)
        if stem not in load_tasks():
            current = task_of_word(name) or task_of_spelling(name)
            message = f"unknown task '{name}'"
            if current is None:
                hint = suggest(stem, load_tasks(), otherwise="the tasks are", also=task_synonyms())
                self._report(UNKNOWN_TASK, message, key.span, hint)
            else:
                # Renamed beside another name of the same task, the key would be given twice.
                names = [str(other.value) for other, _ in picked.entries]
                tasks = [task_of_word(other) or task_of_spelling(other) for other in names]
                fix = Fix(f"rename to '{current}'", (Edit(key.span, current),)) if tasks.count(current) == 1 else None
                hint = f"write '{current}', the name on the Hub"
                self.diagnostics.append(UNKNOWN_TASK.at(message, key.span, hint, fix))
            return False
        defines_itself = any(child(picked, name, part) is not None for part in ("outputs", "components"))
        offered = child(base, "tasks")
        if not defines_itself and not any(child(base, "tasks", part) is not None for part in (stem, name)):
            family = str(self.family.root.get("family").value) if self.family and self.family.root else ""  # type: ignore[union-attr]
            names = [str(entry.value) for entry, _ in offered.entries] if isinstance(offered, Mapping) else []
            self._report(
                UNKNOWN_TASK,
                f"the family '{family}' has no task '{name}' and the spec does not define its outputs",
                key.span,
                suggest(name, names, otherwise=f"the family '{family}' offers", also=task_synonyms()),
            )
            return False
        if name != stem and cache is None:
            self._report(
                UNKNOWN_TASK,
                f"'{name}' needs a 'cache', and neither spec nor family has one",
                key.span,
                "declare 'cache:', or pick the task without '-with-past'",
            )
            return False
        return True

    def _with_components(self, body: Mapping, offered: Mapping | None, cached: Node | None) -> Mapping:
        """Put the composed graphs in place of those a task picks, for its components and for its merged form."""
        entries: list[tuple[Scalar, Node]] = []
        for key, node in without(body, GRAPH).entries:
            if key.value in _PICKS and isinstance(node, Mapping):
                node = Mapping(tuple(self._components(node, offered, cached)), node.span)
            entries.append((key, node))
        entries.sort(key=lambda entry: entry[0].value in _PICKS)
        return Mapping(tuple(entries), body.span)

    def _components(
        self, picks: Mapping, offered: Mapping | None, cached: Node | None
    ) -> Iterator[tuple[Scalar, Node]]:
        for key, picked in picks.entries:
            name = str(key.value)
            template, past = child(offered, name), child(cached, name)
            if template is None and past is None and child(picked, "inputs") is None:
                known = [
                    str(entry.value)
                    for node in (offered, cached)
                    if isinstance(node, Mapping)
                    for entry, _ in node.entries
                ]
                self._report(
                    UNKNOWN_COMPONENT,
                    f"no component '{name}' is offered",
                    key.span,
                    suggest(name, known, otherwise="the components are"),
                )
                continue
            before = merge_all((template, picked))
            component = merge_all((template, past, picked)) or Mapping((), key.span)
            yield key, cache_last(component, past, before) if isinstance(past, Mapping) else component

    # What `show` prints

    def _tree(self, root: Mapping, dims: Mapping | None, bodies: dict[str, tuple[Scalar, Mapping]]) -> Mapping:
        entries: list[tuple[Scalar, Node]] = []
        for key, node in root.entries:
            if key.value == "tasks":
                tasks = tuple((name, body) for name, body in bodies.values())
                entries.append((key, Mapping(tasks, node.span)))
            elif key.value not in (*_SHARED, "dims", "cache", "components", "opset"):
                entries.append((key, node))
        if dims is not None:
            at = next((index for index, (key, _) in enumerate(entries) if key.value == "tasks"), len(entries))
            dims_key = root.key("dims") or Scalar("dims", dims.span)
            entries.insert(at, (dims_key, dims))
        return Mapping(tuple(entries), root.span)

    # Findings

    def _limit_tensors(self, tasks: dict[str, TaskSpec], root: Mapping) -> None:
        """Report a spec whose tasks have very many tensors together, each of which a plan spells out."""
        graphs = [graph for task in tasks.values() for graph in task.all_graphs]
        count = sum(len(graph.inputs) + len(graph.outputs) + len(graph.built) for graph in graphs)
        key = root.key("tasks")
        if count > MAX_TENSORS and key is not None:
            message = f"the tasks have {count:,} tensors together; at most {MAX_TENSORS:,} are allowed"
            self._report(TOO_LARGE, message, key.span, "pick fewer tasks, or declare fewer tensors")

    def _report_idle_removals(self, base: Mapping, root: Mapping) -> None:
        """Report a null of the spec that has nothing to remove: it was meant for a name that exists."""
        for part in ("dims", *_SHARED, "components"):
            over = root.get(part)
            for key, node in over.entries if isinstance(over, Mapping) else ():
                under = base.get(part)
                if is_null(node) and (not isinstance(under, Mapping) or under.get(str(key.value)) is None):
                    names = [str(name.value) for name, _ in under.entries] if isinstance(under, Mapping) else []
                    self._report(
                        REMOVES_NOTHING,
                        f"'{key.value}: null' removes nothing: the family has no '{key.value}' in '{part}'",
                        key.span,
                        suggest(str(key.value), names, otherwise="the family has"),
                    )

    def _report(self, rule: Rule, message: str, span: Span, help_: str | None = None) -> None:
        self.diagnostics.append(rule.at(message, span, help_))

"""Lay YAML nodes over one another: the whole of what ``extends`` does to a document.

Mappings merge by key, anything else replaces, ``null`` removes. Every node keeps the place it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce

from exporter.language.document import Mapping, Node, Scalar
from exporter.language.effort import spend

# What a graph is made of.
GRAPH = ("inputs", "outputs", "internals", "arguments", "outputs_ignored")
_CACHED = ("inputs", "outputs")
# The numbers of a tolerance, and why they are what they are.
_MEASURED, _REASON = ("atol", "rtol"), "because"


def merge_nodes(base: Node | None, over: Node | None) -> Node | None:
    """Lay one node over another: mappings by key, anything else replaces; a null entry removes a key."""
    if over is None or base is None:
        return over if base is None else base
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    spend(len(base.entries) + len(over.entries))
    merged: dict[str, tuple[Scalar, Node]] = {str(key.value): (key, node) for key, node in base.entries}
    if any(over.get(part) is not None for part in _MEASURED):
        # The reason for a bound is that of the numbers it stands beside: a family's does not excuse a spec's own.
        merged.pop(_REASON, None)
    for key, node in over.entries:
        name = str(key.value)
        if is_null(node):
            merged.pop(name, None)
        elif name in merged:
            merged[name] = (key, merge_nodes(merged[name][1], node) or node)
        else:
            merged[name] = (key, node)
    return Mapping(tuple(merged.values()), over.span)


def strip_nulls(node: Node) -> Node:
    """Drop entries that are null: once everything is merged, a null has nothing left to remove.

    A document that was laid over nothing then reads like a merged one: of ``{a: 1, b: null}`` remains ``{a: 1}``.
    """
    if not isinstance(node, Mapping):
        return node
    spend(len(node.entries))
    return Mapping(tuple((key, strip_nulls(value)) for key, value in node.entries if not is_null(value)), node.span)


def is_null(node: Node) -> bool:
    """Tell whether a node is ``null``, which removes what it is laid over."""
    return isinstance(node, Scalar) and node.value is None


def child(node: Node | None, *path: str) -> Node | None:
    """Return the node at a path of keys, or None."""
    for step in path:
        node = node.get(step) if isinstance(node, Mapping) else None
    return node


def merge_all(nodes: Iterable[Node | None]) -> Mapping | None:
    """Lay nodes over one another, the last on top, and drop the nulls that remain."""
    merged = reduce(merge_nodes, nodes, None)
    stripped = strip_nulls(merged) if merged is not None else None
    return stripped if isinstance(stripped, Mapping) else None


def only(node: Mapping, keys: tuple[str, ...]) -> Mapping:
    """Return the entries of a mapping with these keys."""
    return Mapping(tuple(entry for entry in node.entries if entry[0].value in keys), node.span)


def without(node: Mapping, keys: tuple[str, ...]) -> Mapping:
    """Return the entries of a mapping with other keys."""
    return Mapping(tuple(entry for entry in node.entries if entry[0].value not in keys), node.span)


def cache_last(body: Mapping, cached: Mapping, before: Mapping | None) -> Mapping:
    """Order tensors so that the task's own come first, and after them those that only the cache brings.

    Args:
        body: the merged tree of a graph.
        cached: the tree of its cache.
        before: the merged tree without the cache. A tensor of both trees, such as a mask that grows, keeps its place.
    """
    entries: list[tuple[Scalar, Node]] = []
    for key, node in body.entries:
        if key.value in _CACHED and isinstance(node, Mapping):
            brought = cached.get(str(key.value))
            earlier = child(before, str(key.value))

            def is_cached(name: str, brought: Node | None = brought, earlier: Node | None = earlier) -> bool:
                return child(brought, name) is not None and child(earlier, name) is None

            spend(2 * len(node.entries))
            node = Mapping(tuple(sorted(node.entries, key=lambda entry: is_cached(str(entry[0].value)))), node.span)
        entries.append((key, node))
    return Mapping(tuple(entries), body.span)


def monolith_of(body: Mapping, before: Mapping | None, cached: Mapping | None) -> Callable[[Mapping], Mapping]:
    """Return a function that puts the single graph of a task of components into its composed body."""
    own = body.get("monolith")
    if not isinstance(own, Mapping):
        return lambda composed: composed
    shared = only(body, GRAPH)
    graph = merge_all((shared, own)) or own
    brought = child(cached, "monolith")
    if isinstance(brought, Mapping):
        graph = cache_last(graph, brought, merge_all((shared, child(before, "monolith"))))

    def place(composed: Mapping) -> Mapping:
        entries = tuple((key, graph if key.value == "monolith" else node) for key, node in composed.entries)
        return Mapping(entries, composed.span)

    return place

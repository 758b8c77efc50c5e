"""The reference pages that are generated: the rules from their docstrings, the documents' keys from the schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from exporter.diagnostics import UsageError, did_you_mean
from exporter.rules import RULES, Rule
from exporter.schema import KINDS, load_schema


def explain_rule(word: str) -> str:
    """Return the page of a rule, by name or code.

    Raises:
        UsageError: there is no such rule.
    """
    rule = RULES.get(word) or next((rule for rule in RULES.values() if rule.code == word.upper()), None)
    if rule is None:
        raise UsageError(
            f"there is no rule '{word}'", help=did_you_mean(word, RULES) or "'exporter explain' lists the rules"
        )
    return f"{rule.name}  ({rule.code}, {rule.severity.value})\n\n{rule.page}\n\n{_handling(rule)}"


def list_rules() -> str:
    """Return every rule with the first sentence of its page."""
    rules = sorted(RULES.values(), key=lambda rule: rule.code)
    width = max(len(rule.name) for rule in rules)
    return "\n".join(f"{rule.code}  {rule.name.ljust(width)}  {_first_sentence(rule)}" for rule in rules)


def rules_page() -> str:
    """Return docs/rules.md."""
    lines = [
        "# Rules",
        "",
        "What `exporter lint` looks for. This page is generated (`exporter explain --markdown`); each entry is also what `exporter explain RULE` prints.",
        "",
        "Errors keep a spec from being built. Any finding, error or warning, makes `exporter lint` leave with exit code 1.",
        "",
        "A finding is suppressed on its line, or from a comment alone on the line above, with a reason:",
        "",
        "```yaml",
        "float16: {atol: 5.0e-2, rtol: 5.0e-2}  # exporter: ignore[loose-tolerance] the logits reach 400",
        "```",
    ]
    for rule in sorted(RULES.values(), key=lambda rule: rule.code):
        lines += [
            "",
            f"## {rule.name}",
            "",
            f"*{rule.code}, {rule.severity.value}*",
            "",
            rule.page,
            "",
            _handling(rule),
        ]
    return "\n".join(lines) + "\n"


def _handling(rule: Rule) -> str:
    looked_for = "Looked for with `lint --models` only. " if rule.needs_models else ""
    return looked_for + (
        f"Suppress with `# exporter: ignore[{rule.name}] the reason`." if rule.suppressible else "Cannot be suppressed."
    )


def _first_sentence(rule: Rule) -> str:
    return rule.page.split("\n\n", 1)[0].replace("\n", " ").split(". ", 1)[0].rstrip(".")


def schema_page() -> str:
    """Return docs/schema-reference.md: every key of every document, from the schemas' own descriptions."""
    lines = ["# Keys of the documents", "", "Generated from `schemas/` (`exporter schema --markdown`).", ""]
    for kind in KINDS:
        schema = load_schema(kind)
        lines += [
            f"## {schema.get('title', kind)}",
            "",
            str(schema.get("description", "")),
            "",
            "| key | | meaning |",
            "|---|---|---|",
        ]
        lines += [
            f"| `{path}` | {'required' if required else ''} | {text} |"
            for path, required, text in _keys(schema, "", ())
        ]
        lines.append("")
    return "\n".join(lines)


def _keys(schema: dict[str, Any], prefix: str, seen: tuple[str, ...]) -> Iterator[tuple[str, bool, str]]:
    required = set(schema.get("required", ()))
    for name, entry in schema.get("properties", {}).items():
        yield from _entry(f"{prefix}{name}", name in required, entry, seen)
    for key in ("additionalProperties", "items"):
        if isinstance(schema.get(key), dict):
            placeholder = "<name>" if key == "additionalProperties" else "[]"
            yield from _entry(
                f"{prefix}{placeholder}" if key == "additionalProperties" else f"{prefix.rstrip('.')}[]",
                False,
                schema[key],
                seen,
            )
    for branch in ("then", "else"):
        if isinstance(schema.get(branch), dict):
            yield from _keys(schema[branch], prefix, seen)


def _entry(path: str, required: bool, entry: dict[str, Any], seen: tuple[str, ...]) -> Iterator[tuple[str, bool, str]]:
    reference = str(entry.get("$ref", ""))
    target = load_schema("defs")["$defs"].get(reference.rsplit("/", 1)[-1], {}) if reference else entry
    text = str(entry.get("description") or target.get("description", "")).replace("|", "\\|").replace("\n", " ")
    if text:
        yield path, required, text
    if reference in seen:
        return
    yield from _keys(target, f"{path}.", (*seen, reference) if reference else seen)

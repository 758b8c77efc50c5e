"""The reference pages that are generated: docs/rules.md from the rules' pages, docs/schema.md from the schemas, and
docs/cli.md from the commands.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from exporter.errors import UsageError, did_you_mean
from exporter.language.findings import RULES, Rule
from exporter.language.schema import KINDS, bundle_schema, load_schema, output_kinds
from exporter.language.vocabulary import editor_schema


def explain_rule(word: str) -> str:
    """Return the page of a rule, by name or code.

    Raises:
        UsageError: there is no such rule.
    """
    rule = _find_rule(word)
    return f"{rule.name}  ({rule.code}, {rule.severity.value})\n\n{rule.page}\n\n{_handling(rule)}"


def _find_rule(word: str) -> Rule:
    rule = RULES.get(word) or next((rule for rule in RULES.values() if rule.code == word.upper()), None)
    if rule is None:
        raise UsageError(
            f"there is no rule '{word}'", help=did_you_mean(word, RULES) or "'exporter explain' lists the rules"
        )
    return rule


def _sorted_rules() -> list[Rule]:
    return sorted(RULES.values(), key=lambda rule: rule.code)


def rules_data(word: str | None) -> list[dict[str, Any]]:
    """Return a rule, by name or code, or else every rule, as data with its page in Markdown.

    Raises:
        UsageError: there is no such rule.
    """
    return [
        {
            "rule": rule.name,
            "code": rule.code,
            "severity": rule.severity.value,
            "needs_models": rule.needs_models,
            "suppressible": rule.suppressible,
            "page": rule.page,
        }
        for rule in ([_find_rule(word)] if word else _sorted_rules())
    ]


def list_rules() -> str:
    """Return every rule with the first sentence of its page."""
    rules = _sorted_rules()
    width = max(len(rule.name) for rule in rules)
    return "\n".join(f"{rule.code}  {rule.name.ljust(width)}  {_first_sentence(rule)}" for rule in rules)


def rules_page() -> str:
    """Return docs/rules.md."""
    lines = [
        "# Rules",
        "",
        ("<!-- Generated from exporter/language/rules/pages/: exporter explain --markdown > docs/rules.md -->"),
        "",
        "What `exporter lint` looks for. Each entry is also what `exporter explain RULE` prints.",
        "This page is generated with `exporter explain --markdown > docs/rules.md`; a test fails when it is stale.",
        "",
        (
            "Errors keep a spec from being built. Any finding, error or warning, makes `exporter lint` leave with "
            "exit code 1, unless `--fail-on error` lets warnings pass or `--exit-zero` everything. A rule that crashes "
            "(`rule-crashed`) is a bug in exporter, and exit code 3."
        ),
        "",
        "A finding is suppressed on its line, or from a comment alone on the line above, with a reason:",
        "",
        "```yaml",
        "float16: {atol: 5.0e-2, rtol: 5.0e-2}  # exporter: ignore[loose-tolerance] the logits reach 400",
        "```",
    ]
    for rule in _sorted_rules():
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


def schema_document(kind: str) -> str:
    """Return the JSON Schema of a kind of document or output as one self-contained text.

    Raises:
        UsageError: there is no such kind.
    """
    return _schema_text(bundle_schema(_one_of(kind, (*KINDS, *output_kinds()))))


def editor_document(kind: str, near: Path | None) -> str:
    """Return the JSON Schema of a kind of document with the names there are, for an editor.

    Args:
        kind: of a document.
        near: a directory of specs, whose own families are known too.

    Raises:
        UsageError: there is no such kind of document, or ``near`` has no families.
    """
    return _schema_text(editor_schema(_one_of(kind, KINDS), near))


def _one_of(kind: str, kinds: Sequence[str]) -> str:
    if kind not in kinds:
        raise UsageError(f"there is no schema '{kind}'", help=did_you_mean(kind, kinds, otherwise="the schemas are"))
    return kind


def _schema_text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def schema_page() -> str:
    """Return docs/schema.md: every key of every document, from the schemas' own descriptions.

    A part that several documents share has one section, which the others link to.
    """
    lines = [
        "# Keys of the documents",
        "",
        "<!-- Generated from schemas/: exporter schema --markdown > docs/schema.md -->",
        "",
        (
            "Every key a document may have, from the descriptions in `schemas/`; "
            "[spec-language.md](spec-language.md) explains how they work together."
        ),
        "This page is generated with `exporter schema --markdown > docs/schema.md`; a test fails when it is stale.",
    ]
    for kind in KINDS:
        schema = load_schema(kind)
        lines += _section(str(schema.get("title", kind)), schema)
    for name, part in load_schema("defs")["$defs"].items():
        lines += _section(_part_title(name), part)
    return "\n".join(lines) + "\n"


def _section(title: str, schema: dict[str, Any]) -> Iterator[str]:
    yield from ("", f"## {title}", "", str(schema.get("description", "")) + _links(schema))
    rows = list(_keys(schema, ""))
    if rows:
        yield from ("", "| key | | meaning |", "|---|---|---|")
        for path, required, text in rows:
            yield f"| `{path}` | {'required' if required else ''} | {text} |"


def _part_title(name: str) -> str:
    return f"Part: {name.replace('_', ' ')}"


def _keys(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, bool, str]]:
    """Yield the path, whether it is required, and the meaning of every key below a schema.

    The keys of a part that several documents share are left out: the part has a section of its own.
    """
    required = set(schema.get("required", ()))
    entries = [(f"{prefix}{name}", name in required, entry) for name, entry in schema.get("properties", {}).items()]
    if isinstance(schema.get("additionalProperties"), dict):
        entries.append((f"{prefix}<name>", False, schema["additionalProperties"]))
    if isinstance(schema.get("items"), dict) and "properties" in schema["items"]:
        yield from _keys(schema["items"], f"{prefix.rstrip('.')}[].")
    for part in schema.get("allOf", ()):
        yield from _keys(part, prefix)
    for path, needed, entry in entries:
        yield path, needed, _meaning(entry)
        yield from _keys(entry, f"{path}.")
    for branch in ("then", "else"):
        if branch in schema:
            yield from _keys(schema[branch], prefix)


def _meaning(entry: dict[str, Any]) -> str:
    parts = [load_schema("defs")["$defs"].get(name, {}) for name in _references(entry)]
    described = (str(schema["description"]) for schema in (entry, *parts) if "description" in schema)
    values = f" One of {', '.join(f'`{value}`' for value in entry['enum'])}." if "enum" in entry else ""
    text = next(described, "") + values + _links(entry)
    return text.replace("|", "\\|").replace("\n", " ")


def _links(entry: dict[str, Any]) -> str:
    """Return links to the sections of the shared parts that an entry consists of."""
    titles = [_part_title(name) for name in _references(entry)]
    links = [f"[{title}](#{title.lower().replace(' ', '-').replace(':', '')})" for title in titles]
    return f" → {', '.join(links)}" if links else ""


def _references(entry: dict[str, Any]) -> list[str]:
    """Return the names of the shared parts that an entry, or a branch of it, refers to."""
    branches = (entry, entry.get("then", {}), entry.get("else", {}))
    names = (str(branch["$ref"]).rsplit("/", 1)[-1] for branch in branches if "$ref" in branch)
    return list(dict.fromkeys(names))


def commands_page(group: click.Group) -> str:
    """Return docs/cli.md: what ``--help`` says of the command and of each below it."""
    lines = [
        "# Command line",
        "",
        "<!-- Generated from the commands: python docs/regenerate.py -->",
        "",
        "What `exporter --help` and `exporter COMMAND --help` print.",
        "This page is generated with `python docs/regenerate.py`; a test fails when it is stale.",
    ]
    for context in _contexts(group, "exporter"):
        command, words = context.command, context.command_path
        usage = " ".join([words, *command.collect_usage_pieces(context)])
        lines += ["", f"## {words}", "", "```text", usage, "```", "", *_paragraphs(command.help or "")]
        records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
        rows = [(_cell(option), _cell(text)) for option, text in filter(None, records) if text]
        if rows:
            lines += ["", "| option | meaning |", "|---|---|", *(f"| `{option}` | {text} |" for option, text in rows)]
    return "\n".join(lines) + "\n"


def _contexts(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield the context of a command and, of a group, of every command below it.

    A context inherits the names of the option for help, which click asks for once and keeps with the command.
    """
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield context
    if isinstance(command, click.Group):
        for below in command.commands.values():
            if not below.hidden:
                yield from _contexts(below, str(below.name), context)


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the lines of a help text as Markdown. A paragraph that click leaves as it is, marked ``\\b``, is code."""
    paragraphs = inspect.cleandoc(text).partition("\f")[0].strip().split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        mark, _, code = paragraph.partition("\n")
        if number:
            yield ""
        if mark.strip() == "\b":
            # What is said of a command stands behind it.
            yield from ("```bash", re.sub(r"(?<=\S) {2,}(?=\S)", "  # ", inspect.cleandoc(f"\n{code}")), "```")
        else:
            yield paragraph.replace("<", "\\<")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

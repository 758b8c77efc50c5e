"""The pages that are generated: one for the rules, one for the keys of documents."""

from __future__ import annotations

import json
import re

import click
import pytest

from exporter.cli.main import cli
from exporter.cli.render.manual import (
    commands_page,
    explain_rule,
    list_rules,
    rules_page,
    schema_document,
    schema_page,
)
from exporter.errors import UsageError
from exporter.language.findings import RULES
from exporter.language.schema import KINDS, load_schema


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_explained_by_name_and_by_code(name: str):
    rule = RULES[name]
    page = explain_rule(name)
    assert page.startswith(f"{name}  ({rule.code}, {rule.severity.value})\n\n{rule.page}\n\n")
    assert page == explain_rule(rule.code) == explain_rule(rule.code.lower())
    handling = page.rsplit("\n\n", 1)[1]
    assert handling.startswith("Looked for with `lint --models` only. ") is rule.needs_models
    assert handling.endswith("Cannot be suppressed.") is not rule.suppressible


@pytest.mark.parametrize(
    ("word", "hint"),
    [("unknown-dimm", "did you mean 'unknown-dim'?"), ("EXP999", "'exporter explain' lists the rules")],
)
def test_a_rule_that_is_none_gets_a_hint(word: str, hint: str):
    with pytest.raises(UsageError, match=f"there is no rule '{word}'") as failure:
        explain_rule(word)
    assert failure.value.help == hint


def test_the_list_has_a_sentence_for_each_rule_by_code():
    lines = list_rules().splitlines()
    assert [line.split()[0] for line in lines] == sorted(rule.code for rule in RULES.values())
    for line in lines:
        assert re.fullmatch(r"EXP\d{3}  [a-z0-9-]+ +\S.*[^.\s]", line), line


def test_the_page_of_rules_has_a_section_for_each():
    sections = re.findall(r"^## (\S+)$", rules_page(), re.MULTILINE)
    assert sections == sorted(RULES, key=lambda name: RULES[name].code)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_document_stands_alone(kind: str):
    text = schema_document(kind)
    schema = json.loads(text)
    assert text.endswith("}\n")
    assert schema["title"] == load_schema(kind)["title"]
    for reference in re.findall(r'"\$ref": "([^"]+)"', text):
        place = schema
        assert reference.startswith("#/"), reference
        for part in reference[2:].split("/"):
            place = place[part]


def test_the_page_of_keys_has_every_key_and_links_within_itself():
    page = schema_page()
    for kind in KINDS:
        for key in load_schema(kind)["properties"]:
            assert f"| `{key}` |" in page, f"{kind}: {key}"
    anchors = {
        title.lower().replace(" ", "-").replace(":", "") for title in re.findall(r"^## (.+)$", page, re.MULTILINE)
    }
    links = re.findall(r"\]\(#([^)]+)\)", page)
    assert links
    assert set(links) <= anchors
    # A cell of a table ends at a bar, so those in descriptions are escaped.
    for row in re.findall(r"^\| `.*$", page, re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", row)) == 4, row


def test_the_page_of_the_command_line_has_every_command_with_every_option():
    page = commands_page(cli)
    for name, command in cli.commands.items():
        _, _, section = page.partition(f"\n## exporter {name}\n")
        section, _, _ = section.partition("\n## ")
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert all(f"{word}" in section for word in option.opts), (name, option.opts)
                assert (option.help or "").replace("|", "\\|") in section, (name, option.opts)


def test_groups_in_groups_and_what_click_leaves_as_it_is_are_shown():
    @click.group
    def outer() -> None:
        """Outer."""

    @outer.group
    def inner() -> None:
        """Inner."""

    @inner.command
    @click.option("--place", metavar="<A|B>", help="One of two.")
    def deep(place: str) -> None:
        """Go <deep>.

        \b
            exporter inner deep   as far as it goes
        """

    @outer.command(hidden=True)
    def secret() -> None:
        """Not told of."""

    page = commands_page(outer)
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## exporter",
        "## exporter inner",
        "## exporter inner deep",
    ]
    assert "Go \\<deep>.\n\n```bash\nexporter inner deep  # as far as it goes\n```\n" in page
    assert "| `--place <A\\|B>` | One of two. |" in page

"""EXP0: what is no YAML, and what is more YAML than a spec needs."""

from __future__ import annotations

import pytest

# One document of each kind that is no spec: what cannot be read is found in every kind of document.
BAD = {
    "a flow mapping that nobody closes": (
        "yaml-syntax",
        "spec_version: 1\ndims: {batch: 2\nextends«:» plain\n",
        "did not find expected ',' or '}'",
    ),
    "a tab as indentation": (
        "yaml-syntax",
        "spec_version: 1\ndims:\n«\t»batch: 2\n",
        "found character that cannot start any token",
    ),
    "two values on a line": (
        "yaml-syntax",
        "spec_version: 1\ndescription: a«:» b\n",
        "mapping values are not allowed",
    ),
    "a quote that nobody closes": (
        "yaml-syntax",
        "spec_version: 1\ndescription: 'a\n«»",
        "found unexpected end of stream",
    ),
    "a key given twice": (
        "duplicate-key",
        "spec_version: 1\ndims: {batch: 2}\n«dims»: {batch: 3}\n",
        "key 'dims' is given twice",
    ),
    "a nested key given three times": (
        "duplicate-key",
        "spec_version: 1\ndims: {a: 2, «a»: 3, «a»: 4}\n",
        "key 'a' is given twice",
    ),
    "one key in two ways of quoting": (
        "duplicate-key",
        "spec_version: 1\ntasks: {fill-mask: {}, «'fill-mask'»: {}}\n",
        "key 'fill-mask' is given twice",
    ),
    "an anchor": (
        "forbidden-yaml",
        "spec_version: 1\ndims: «&sizes {»a: 2}\n",
        "anchor '&sizes' is not part of the spec language",
    ),
    "a tag": (
        "forbidden-yaml",
        "spec_version: 1\ndescription: «!!binary aGk=»\n",
        "tag 'tag:yaml.org,2002:binary' is not part of the spec language",
    ),
    "a merge key": (
        "forbidden-yaml",
        "spec_version: 1\ndims:\n  «<<»: {a: 2}\n",
        "merge key '<<' is not part of the spec language",
    ),
    "a second document": (
        "forbidden-yaml",
        "spec_version: 1\n«---»\nspec_version: 1\n",
        "a second document in one file is not part of the spec language",
    ),
    "a byte of a terminal": (
        "forbidden-yaml",
        "spec_version: 1\ndescription: a«\x1b»[31m\n",
        "control character U+001B in the text",
    ),
}


@pytest.mark.parametrize(("rule", "text", "message"), BAD.values(), ids=BAD)
def test_a_broken_text_is_found_at_its_place(find_marked, rule: str, text: str, message: str):
    for finding in find_marked(rule, text):
        assert message in finding.message


GOOD = {
    "a colon in quotes": ("yaml-syntax", "description: 'a: b'\n"),
    "the start of the one document": ("forbidden-yaml", "---\ndescription: one document with its start\n"),
    "an ampersand and a star in words": ("forbidden-yaml", "description: 'text & images, 2 * 3 of them'\n"),
    "an exclamation mark inside a text": ("forbidden-yaml", "description: no tag!here\n"),
    "one key in two mappings": ("duplicate-key", "tasks: {fill-mask: {}, text-classification: {}}\n"),
    "a key that differs in its case": (
        "duplicate-key",
        "reference: {config: {hidden_size: 8, Hidden_size: 9, vocab_size: 5}}\n",
    ),
}


@pytest.mark.parametrize(("rule", "text"), GOOD.values(), ids=GOOD)
def test_plain_data_is_not_found(find_marked, rule: str, text: str):
    find_marked(rule, text)


def test_a_tab_is_told_as_the_cause(find_marked):
    (finding,) = find_marked("yaml-syntax", "spec_version: 1\ndims:\n«\t»batch: 2\n")
    assert finding.help == "indent with spaces; YAML does not allow tabs"


def test_a_second_key_shows_the_first(find_marked):
    (finding,) = find_marked("duplicate-key", "dims: {labels: 8, «labels»: 9}\n")
    ((label,),) = [finding.labels]
    assert (label.span.column, label.text) == (8, "first given here")


def test_what_cannot_be_read_is_the_only_finding(lint_text):
    diagnostics = lint_text("spec_version: 1\ntask: {}\ndims: {batch: 2\n")
    assert [finding.rule for finding in diagnostics] == ["yaml-syntax"]


@pytest.mark.parametrize("rule", ["yaml-syntax", "duplicate-key", "forbidden-yaml"])
def test_the_syntax_cannot_be_suppressed(lint_text, rule: str):
    text = f"dims: {{a: 1, a: 2}}  # exporter: ignore[{rule}] on purpose\n"
    rules = [finding.rule for finding in lint_text(text)]
    assert {"duplicate-key", "unknown-suppression"} <= set(rules)

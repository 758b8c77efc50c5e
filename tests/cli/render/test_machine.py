"""Findings for programs: JSON, SARIF and workflow commands, from findings made here."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from commands import REPOSITORY

from exporter.cli.render.machine import HOME_PAGE, RULES_PAGE, diagnostics_github, diagnostics_sarif, findings_data
from exporter.language.diagnostics import Diagnostic, Edit, Fix, Label, Severity
from exporter.language.findings import RULES
from exporter.language.text import Text
from exporter.versions import installed_version

TEXT = Text("my specs/a,b.yaml", "tasks:\n  masked-lm: {}\n")
WORD = TEXT.span(9, 18)
FINDING = Diagnostic(
    "unknown-task",
    "'masked-lm' is a retired name",
    WORD,
    help="write fill-mask",
    labels=(Label(TEXT.span(0, 5), "among these"),),
    fix=Fix("rename it", (Edit(WORD, "fill-mask"),)),
)


def test_json_has_all_of_a_finding():
    (data,) = findings_data([FINDING])
    assert data == {
        "rule": "unknown-task",
        "code": RULES["unknown-task"].code,
        "severity": "error",
        "message": "'masked-lm' is a retired name",
        "help": "write fill-mask",
        "file": "my specs/a,b.yaml",
        "line": 2,
        "column": 3,
        "end_line": 2,
        "end_column": 12,
        "labels": [
            {
                "message": "among these",
                "file": "my specs/a,b.yaml",
                "line": 1,
                "column": 1,
                "end_line": 1,
                "end_column": 6,
            }
        ],
        "fix": {
            "title": "rename it",
            "safe": True,
            "edits": [
                {
                    "file": "my specs/a,b.yaml",
                    "line": 2,
                    "column": 3,
                    "end_line": 2,
                    "end_column": 12,
                    "replacement": "fill-mask",
                }
            ],
        },
    }


def test_a_finding_without_a_fix_says_so():
    (data,) = findings_data([Diagnostic("unknown-task", "no", WORD)])
    assert (data["fix"], data["help"], data["labels"]) == (None, None, [])


def test_sarif_names_the_tool_the_rules_and_the_places():
    warning = Diagnostic("loose-tolerance", "it is loose", TEXT.span(0, 5), Severity.WARNING)
    (run,) = json.loads(diagnostics_sarif([FINDING, warning, FINDING]))["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("exporter", installed_version())
    assert [rule["id"] for rule in driver["rules"]] == ["loose-tolerance", "unknown-task"]
    assert [(result["ruleId"], result["ruleIndex"]) for result in run["results"]] == [
        ("unknown-task", 1),
        ("loose-tolerance", 0),
        ("unknown-task", 1),
    ]
    result = run["results"][0]
    assert (result["level"], run["results"][1]["level"]) == ("error", "warning")
    assert result["message"] == {"text": "'masked-lm' is a retired name (write fill-mask)"}
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "my%20specs/a%2Cb.yaml"}
    assert place["region"] == {"startLine": 2, "startColumn": 3, "endLine": 2, "endColumn": 12}
    assert result["relatedLocations"][0]["message"] == {"text": "among these"}


def closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


def listed(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT_, NUMBER = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}
MESSAGE = closed(("text",), text=TEXT_, markdown=TEXT_)
URI = {"type": "string", "format": "uri"}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
REGION = closed(("startLine",), startLine=NUMBER, startColumn=NUMBER, endLine=NUMBER, endColumn=NUMBER)
LOCATION = closed(
    id={"type": "integer", "minimum": -1},
    message=MESSAGE,
    physicalLocation=closed(
        artifactLocation=closed(uri={"type": "string", "format": "uri-reference"}, uriBaseId=TEXT_), region=REGION
    ),
)
# What SARIF 2.1.0 has of the parts that are written (sections 3.13 to 3.49), closed to all that it has not.
SARIF = closed(
    ("version", "runs"),
    **{"$schema": URI, "version": {"const": "2.1.0"}},
    runs=listed(
        closed(
            ("tool",),
            tool=closed(
                ("driver",),
                driver=closed(
                    ("name", "informationUri"),
                    name=TEXT_,
                    informationUri=URI,
                    version=TEXT_,
                    semanticVersion=TEXT_,
                    rules=listed(
                        closed(
                            ("id", "helpUri"),
                            id=TEXT_,
                            name=TEXT_,
                            shortDescription=MESSAGE,
                            fullDescription=MESSAGE,
                            help=MESSAGE,
                            helpUri=URI,
                            defaultConfiguration=closed(level=LEVEL),
                        )
                    )
                    | {"uniqueItems": True},
                ),
            ),
            invocations=listed(closed(("executionSuccessful",), executionSuccessful={"type": "boolean"})),
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results=listed(
                closed(
                    ("message",),
                    ruleId=TEXT_,
                    ruleIndex={"type": "integer", "minimum": -1},
                    level=LEVEL,
                    message=MESSAGE,
                    locations=listed(LOCATION),
                    relatedLocations=listed(LOCATION) | {"uniqueItems": True},
                )
            ),
        )
    ),
)


@pytest.mark.parametrize("rules", [[], [FINDING.rule], list(RULES)])
def test_sarif_is_of_the_shape_that_its_standard_has(rules: list[str]):
    jsonschema.Draft202012Validator.check_schema(SARIF)
    findings = [replace(FINDING, rule=name, severity=RULES[name].severity, is_bug="crash" in name) for name in rules]
    log = json.loads(diagnostics_sarif(findings))
    jsonschema.validate(log, SARIF, format_checker=jsonschema.FormatChecker())
    (run,) = log["runs"]
    described = run["tool"]["driver"]["rules"]
    assert [described[result["ruleIndex"]]["id"] for result in run["results"]] == rules
    assert run["invocations"] == [{"executionSuccessful": "rule-crashed" not in rules}]


def test_rules_are_described_where_the_project_has_its_pages():
    urls = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    assert (urls["Homepage"], f"{urls['Documentation']}/rules.md") == (HOME_PAGE, RULES_PAGE)
    page = (REPOSITORY / "docs" / "rules.md").read_text("utf-8")
    assert all(f"\n## {name}\n" in page for name in RULES)


def test_a_workflow_command_is_one_line_whatever_a_finding_says():
    hostile = Diagnostic("unknown-task", "50% of\r\nit", WORD, Severity.WARNING, help="a, b: c")
    assert diagnostics_github([hostile]) == (
        "::warning file=my specs/a%2Cb.yaml,line=2,endLine=2,col=3,endColumn=12,title=unknown-task"
        "::50%25 of%0D%0Ait (a, b: c)"
    )
    assert len(diagnostics_github([FINDING, hostile]).splitlines()) == 2


def test_no_findings():
    assert diagnostics_github([]) == ""
    assert findings_data([]) == []

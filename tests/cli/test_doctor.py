"""The command that looks at the machine."""

from __future__ import annotations

import pytest
from commands import read_answer

from exporter.building import machine
from exporter.building.machine import Finding


def test_what_is_found_is_printed_with_what_to_do(invoke, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_find_hub", lambda *, hub: [Finding("hub", "token", "absent", f"{hub}", "log in")])
    done = invoke("doctor")
    assert done.return_value == 0
    assert "  ✓ torch: " in done.stdout
    assert "  - token: True\n      log in\n" in done.stdout
    assert done.stdout.endswith("graphs can be built\n")


def test_it_answers_programs_with_an_object_of_its_schema(invoke):
    done = invoke("doctor", "--json", "--no-hub")
    assert read_answer(done.stdout)["findings"]
    assert done.return_value == 0


def test_without_what_builds_need_it_leaves_with_1(invoke, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "extras", lambda: {"build": ("no-such-package",)})
    done = invoke("doctor", "--json", "--no-hub")
    answer = read_answer(done.stdout, ok=False)
    assert (done.return_value, answer["exit_code"], answer["ok"]) == (1, 1, False)
    (missing,) = [each for each in answer["findings"] if each["name"] == "no-such-package"]
    assert missing["help"] == "pip install 'checkpoint-exporter[build]'"

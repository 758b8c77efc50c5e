"""What a machine has and lacks, without importing anything to find out."""

from __future__ import annotations

import subprocess
import sys
import time
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError

import pytest
from commands import offline_environment

from exporter.building import machine
from exporter.building.machine import Finding, examine_machine


def found(findings: list[Finding], name: str) -> Finding:
    return next(each for each in findings if each.name == name)


def test_nothing_heavy_is_imported_and_little_time_passes(tmp_path: Path):
    script = (
        "import sys; from exporter.cli import main; sys.argv = ['exporter', 'doctor', '--no-hub']\n"
        "try: main()\nfinally: print(sorted({'torch', 'transformers', 'onnx', 'numpy'} & set(sys.modules)))"
    )
    taken = []
    for _ in range(3):
        start = time.process_time(), time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", script], env=offline_environment(), capture_output=True, text=True, check=False
        )
        taken.append(time.monotonic() - start[1])
        assert done.stdout.endswith("[]\n"), done.stdout + done.stderr
    assert min(taken) < 3, taken


def test_a_version_nobody_tried_is_a_warning_and_one_that_is_not_there_is_missing(monkeypatch: pytest.MonkeyPatch):
    lines = ["torch<3,>=2; extra == 'build'", "onnx; extra == 'build'", "h5py; extra == 'build'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: lines)
    versions = {"torch": "3.1", "onnx": "1.19"}
    monkeypatch.setattr(machine, "installed_version", lambda name="": versions.get(name, "unknown"))
    findings = examine_machine(Path(), hub=False)
    torch = found(findings, "torch")
    assert (torch.state, torch.found, torch.help) == ("warning", "3.1, untried", "pip install 'torch<3,>=2'")
    assert found(findings, "onnx").state == "ok"
    assert found(findings, "h5py").state == "missing"


def test_no_token_is_ever_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert found(examine_machine(Path(), hub=False), "token").state == "absent"
    (tmp_path / "token").write_text("hf_secret", "utf-8")
    stored = examine_machine(Path(), hub=False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    given = examine_machine(Path(), hub=False)
    assert found(stored, "token").found == f"stored in {tmp_path}/token"
    assert found(given, "token").state == "ok"
    assert "hf_secret" not in str([*stored, *given])


def test_a_hub_that_is_away_or_slow_or_offline_is_told_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    away = found(examine_machine(Path()), "http://127.0.0.1:9")
    assert (away.state, away.found.partition(":")[0]) == ("absent", "does not answer")
    monkeypatch.setattr(machine, "_HUB_SECONDS", 0.2)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: time.sleep(5))
    start = time.monotonic()
    assert "nothing came" in found(examine_machine(Path()), "http://127.0.0.1:9").found
    assert time.monotonic() - start < 4
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in found(examine_machine(Path()), "http://127.0.0.1:9").found


def test_a_hub_that_refuses_answers(monkeypatch: pytest.MonkeyPatch):
    def refuse(url: str, *, timeout: float) -> None:
        raise HTTPError(url, 401, "Unauthorized", Message(), None)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    assert found(examine_machine(Path()), "http://127.0.0.1:9").state == "ok"


def test_little_room_and_little_memory_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "LITTLE_ROOM", 1 << 60)
    monkeypatch.setattr(machine, "LITTLE_MEMORY", 1 << 60)
    findings = examine_machine(tmp_path / "not" / "there", hub=False)
    assert found(findings, "output").help == "make room, or write elsewhere with -o"
    assert found(findings, "memory").state == "warning"

"""What is no spec and is taken for one is refused with the command that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter import api
from exporter.errors import UsageError
from exporter.language.strangers import refuse_strangers


@pytest.fixture(autouse=True)
def in_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, names in {"checkpoint": ["config.json", "model.safetensors"], "artifact": ["manifest.json"]}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_text("{}", "utf-8")
    (tmp_path / "artifact" / "model.onnx").write_bytes(b"")
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "x.yaml").write_text("spec_version: 1\n", "utf-8")
    (tmp_path / "specs" / "config.json").write_text("{}", "utf-8")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("checkpoint", "--model checkpoint"),
        ("checkpoint/config.json", "--model checkpoint"),
        ("checkpoint/model.safetensors", "--model checkpoint"),
        ("owner/name", "--model owner/name"),
        ("artifact", "exporter verify artifact"),
        ("artifact/model.onnx", "exporter verify artifact"),
    ],
)
def test_what_is_no_spec_is_refused_with_what_was_meant(name: str, meant: str):
    with pytest.raises(UsageError) as failure:
        refuse_strangers(name)
    assert meant in (failure.value.help or "")
    for look in (api.lint, api.compose):
        with pytest.raises(UsageError) as failure:
            look(name)
        assert meant in (failure.value.help or "")


@pytest.mark.parametrize("name", ["specs", "specs/x.yaml", "specs/nowhere.yaml", "bert", "", "x" * 5000])
def test_what_may_be_a_spec_is_left_to_others(name: str):
    refuse_strangers(name)

"""Builds that were looked at, as text and as data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import read_answer

from exporter.building.dry_run import Foreseen, dry_run
from exporter.building.durations import keep_duration
from exporter.cli.render.foreseen import foreseen_data, foreseen_text, summary


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPORTER_CACHE", str(tmp_path / "cache"))


def look(tmp_path: Path, spec: str = "bert", **given: object) -> Foreseen:
    (foreseen,) = dry_run([spec], {"tasks": ("fill-mask",), "output": tmp_path / "out", **given})
    return foreseen


def test_a_build_is_told_in_lines(tmp_path: Path):
    text = "\n".join(foreseen_text(look(tmp_path, dims={"batch": 3})))
    for part in (
        "bert fill-mask  (asked for)",
        "from   its reference",
        "as     onnx, float32, opset 18, torchscript tracer, layout flat",
        "graph  model.onnx: input_ids, attention_mask, token_type_ids → logits",
        "dims   sequence stay open; fixed at batch 3",
        "out, where nothing is",
        "unknown before it is built",
        "not built before",
    ):
        assert part in text, part


def test_the_last_time_is_told(tmp_path: Path):
    build = look(tmp_path).build
    assert build is not None
    keep_duration(build.request, 31.4, 5_000)
    text = "\n".join(foreseen_text(look(tmp_path)))
    assert "31 s last time, on " in text
    assert "about 5.0 kB" in text


def test_a_plan_that_code_decides_is_told_as_that(tmp_path: Path):
    text = "\n".join(foreseen_text(look(tmp_path, "phi3", tasks=("text-generation",), variant=3)))
    assert "graphs are planned with transformers" in text
    assert "dims" not in text


def test_what_cannot_be_built_is_counted(tmp_path: Path):
    good, bad = look(tmp_path), look(tmp_path, dims={"seq": 3})
    assert summary([good]) == "1 build would be run; nothing was built"
    assert summary([good, bad]) == "1 build would be run; 1 cannot be; nothing was built"
    assert list(foreseen_text(Foreseen("build 3 of 'x.yaml'"))) == ["build 3 of 'x.yaml': cannot be built"]


def test_data_is_what_the_schema_says(tmp_path: Path):
    looked_at = [look(tmp_path), look(tmp_path, dims={"seq": 3}), Foreseen("build 3 of 'x.yaml'")]
    head = {"command": "build", "ok": False, "exit_code": 2, "error": None}
    data = read_answer(json.dumps({**head, "dry_run": foreseen_data(looked_at)}), ok=False)
    good, bad, none = data["dry_run"]
    assert set(good) == set(bad) == set(none)
    assert good["dims"] == {"open": ["batch", "sequence"], "fixed": {}}
    assert (good["target"], good["tracer"], good["opset"], good["dtype"]) == ("onnx", "torchscript", 18, "float32")
    assert good["output"]["holds"] == "nothing"
    assert good["refusals"] == []
    assert bad["refusals"][0]["message"] == "'seq' is no dynamic dim of fill-mask"
    assert none["architecture"] is None

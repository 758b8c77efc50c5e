"""The command line on bad input: one clear error, the documented exit code, and the earlier artifact as it was."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Run, assert_clean_failure, offline_environment

from exporter.cli.main import main

SPEC = """\
spec_version: 1
architecture: example
extends: encoder
tasks:
  fill-mask: {}
reference:
  config: {hidden_size: 32, vocab_size: 99}
"""
TINY_BERT = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 40,
    "vocab_size": 50,
    "type_vocab_size": 2,
}


@pytest.fixture
def bert(make_checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A small checkpoint of a masked language model, to break."""
    return Path(shutil.copytree(make_checkpoint("BertForMaskedLM", "bert", **TINY_BERT), tmp_path / "checkpoint"))


Refuse = Callable[..., str]


@pytest.fixture
def refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Run a command that must fail without starting a worker; return what it said."""

    def no_worker(*_: object, **__: object) -> None:
        raise AssertionError("work was started for a request that cannot be served")

    def refuse(code: int | tuple[int, ...], *arguments: str | Path) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(subprocess, "Popen", no_worker)
        monkeypatch.setattr(sys, "argv", ["exporter", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        said = captured.err + captured.out
        assert left.value.code in (code if isinstance(code, tuple) else (code,)), said
        assert "Traceback" not in said
        assert re.search("error|Error", said), said
        return said

    return refuse


def occupy(target: Path) -> Callable[[], None]:
    """Put an earlier artifact at ``target`` and return a check that it is as it was, byte for byte and alone."""
    target.mkdir(parents=True)
    (target / "manifest.json").write_text('{"manifest_version": 1, "files": {"model.onnx": {}}}', "utf-8")
    (target / "model.onnx").write_bytes(bytes(range(256)))
    before = contents(target.parent)

    def check() -> None:
        assert contents(target.parent) == before

    return check


def contents(directory: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


# Documents


def alias_bomb() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(lines).encode()


HOSTILE = {
    "alias-bomb": (alias_bomb(), "forbidden-yaml"),
    "python-tag": (b"spec_version: !!python/object/apply:os.system ['touch marker']\n", "forbidden-yaml"),
    "custom-tag": (SPEC.replace("example", "!x example").encode(), "forbidden-yaml"),
    "merge-key": (SPEC.encode() + b"<<: {x: 1}\n", "forbidden-yaml"),
    "ten-megabytes": (SPEC.encode() + b"# " + b"x" * 10_000_000, "forbidden-yaml"),
    "deep-nesting": (b"reference: " + b"[" * 100_000, "forbidden-yaml"),
    "deep-mappings": (b"a: " + b"{a: " * 5000, "forbidden-yaml"),
    "nul-bytes": (SPEC.replace("example", "exa\0mple").encode(), "forbidden-yaml"),
    "escapes": (SPEC.replace("example", "\x1b]0;owned\x07example").encode(), "forbidden-yaml"),
    "not-utf-8": (SPEC.replace("example", "exämple").encode("latin-1"), "yaml-syntax"),
    "utf-16": (SPEC.encode("utf-16"), "yaml-syntax"),
    "binary": (bytes(range(256)) * 40, "yaml-syntax"),
    "unclosed": (SPEC.encode() + b"dims: {a: [1, 2\n", "yaml-syntax"),
    "tabs": (SPEC.replace("  fill-mask", "\tfill-mask").encode(), "yaml-syntax"),
    "empty": (b"", "wrong-type"),
    "list": (b"- 1\n- 2\n", "wrong-type"),
    "scalar": (b"hello\n", "wrong-type"),
    "two-documents": (SPEC.encode() + b"---\na: 1\n", "forbidden-yaml"),
    "duplicate-key": (SPEC.encode() + b"extends: decoder\n", "duplicate-key"),
    "path-as-family": (SPEC.replace("encoder", "../../../etc/passwd").encode(), "wrong-value"),
}


@pytest.mark.parametrize("command", ["lint", "show", "plan", "build"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents(name: str, command: str, tmp_path: Path, refuse: Refuse):
    text, rule = HOSTILE[name]
    (tmp_path / "example.yaml").write_bytes(text)
    intact = occupy(tmp_path / "out" / "artifact")
    said = refuse(1, command, "example.yaml", *(["-o", "out/artifact"] if command == "build" else []))
    assert f"[{rule}]" in said
    assert "example.yaml" in said
    # No flood, and nothing that a terminal would obey.
    assert len(said) < 5000
    assert "\x1b" not in said
    assert not (tmp_path / "marker").exists()
    intact()


def test_hostile_documents_take_no_time(tmp_path: Path, run: Run):
    for name, (text, _) in HOSTILE.items():
        (tmp_path / f"{name}.yaml").write_bytes(text)
    before = os.times()
    assert_clean_failure(run("lint", "."), 1)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used < 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spec_version: 1\nkind: build\nbuilds: 3\n", "wrong-type"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: bert, taks: [fill-mask]}\n", "did you mean 'tasks'?"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {tasks: [fill-mask]}\n", "neither 'spec' nor 'model'"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: ../../bert.yaml}\n", "spec"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: bert, output: ../elsewhere}\n", "leads out of"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: bert, output: /elsewhere}\n", "leads out of"),
        ("spec_version: 1\nkind: build\noutput: ..\nbuilds:\n- {spec: bert}\n", "leads out of"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: bert}\n- {spec: bert}\n", "two builds would be written to"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: bert, opset: 9}\n", "opset"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: bert, tasks: [fil-mask]}\n", "did you mean 'fill-mask'?"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: berd}\n", "did you mean 'bert'?"),
    ],
)
def test_bad_build_files(text: str, said: str, tmp_path: Path, refuse: Refuse):
    (tmp_path / "builds.yaml").write_text(text, "utf-8")
    before = contents(tmp_path)
    assert said in refuse((1, 2), "build", "builds.yaml")
    assert contents(tmp_path) == before


# Requests


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "nothing to build"),
        (["bart-like"], 2, "bart-like"),
        (["berd"], 2, "did you mean 'bert'?"),
        (["missing.yaml"], 2, "missing.yaml"),
        (["empty"], 2, "there are no specs in 'empty'"),
        (["bert", "--task", "fil-mask"], 2, "did you mean 'fill-mask'?"),
        (["bert", "--feature", "maskedlm"], 2, "did you mean 'masked-lm'?"),
        (["bert", "--task", "frobnicate"], 2, "the tasks are"),
        (["bert", "--task", "image-classification"], 2, "the architecture 'bert' has no task"),
        (["bert", "--feature", "causal-lm-with-past"], 2, "the architecture 'bert' has no task"),
        (["bert", "--task", ""], 2, "unknown task"),
        (["bert", "--opset", "9"], 2, "opsets 11 to 20"),
        (["bert", "--opset", "25"], 2, "opset 25 cannot be had"),
        (["bert", "--opset", "14", "--tracer", "dynamo"], 2, "--tracer torchscript"),
        (["bert", "--opset", "21"], 2, "--tracer dynamo"),
        (["bert", "--opset", "eleven"], 2, "'eleven' is not a valid integer"),
        (["bert", "--opset", "-1"], 2, "opset -1 cannot be had"),
        (["bert", "--dtype", "float8"], 2, "'float8' is not one of"),
        (["bert", "--tracer", "fx"], 2, "'fx' is not one of"),
        (["bert", "--atol", "-1"], 2, "--atol"),
        (["bert", "--nonsense"], 2, "No such option"),
        (["bert", "--model", "./nowhere"], 2, "the checkpoint './nowhere' does not exist"),
        (["--model", "./file"], 2, "the checkpoint './file' is a file"),
        (["--model", "./empty"], 1, "there is no config.json"),
        (["bert", "--model", "./empty", "--revision", "main"], 2, "--revision goes with a hub id"),
        (["--model", "not a model!"], 2, "does not exist"),
        (["--model", ""], 2, "has no name"),
    ],
)
def test_requests_that_cannot_be_served(arguments: list[str], code: int, said: str, tmp_path: Path, refuse: Refuse):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x", "utf-8")
    intact = occupy(tmp_path / "out" / "artifact")
    before = contents(tmp_path)
    assert said in refuse(code, "build", *arguments, "-o", "out/artifact")
    assert contents(tmp_path) == before
    intact()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["verify", "nowhere"], "it does not exist"),
        (["verify", "empty"], "it has no manifest.json"),
        (["verify", "broken"], "is not a manifest of exporter"),
        (["verify", "other"], "is not a manifest of exporter"),
        (["verify", "newer"], "has manifest version 99"),
        (["verify"], "Missing argument"),
        (["show", "berd"], "did you mean 'bert'?"),
        (["plan", "berd"], "did you mean 'bert'?"),
        (["lint", "nowhere.yaml"], "nowhere.yaml"),
        (["lint", "empty"], "there is nothing to lint"),
        (["lint"], "there is no directory 'specs' here"),
        (["lint", "bert", "--fix", "--diff"], "give one of them"),
        (["lint", "bert", "--select", "unknown-dimm"], "did you mean 'unknown-dim'?"),
        (["lint", "bert", "--format", "xml"], "'xml' is not one of"),
        (["explain", "unknown-dimm"], "did you mean 'unknown-dim'?"),
        (["schema", "model"], "'model' is not one of"),
        (["list", "nowhere"], "does not exist"),
        (["frobnicate"], "No such command"),
    ],
)
def test_other_commands_say_what_is_wrong(command: list[str], said: str, tmp_path: Path, refuse: Refuse):
    (tmp_path / "empty").mkdir()
    for name, text in (("broken", "{"), ("other", "[1, 2]"), ("newer", '{"manifest_version": 99}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(text, "utf-8")
    assert said in refuse(2, *command)


# Places


def test_an_output_that_would_lose_something_is_refused(tmp_path: Path, refuse: Refuse):
    (tmp_path / "file").write_text("precious", "utf-8")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("precious", "utf-8")
    before = contents(tmp_path)
    for output, said in (
        ("file", "is a file"),
        ("file/below", "file"),
        ("foreign", "was not written by exporter"),
        ("/proc/nowhere/artifact", "cannot be written"),
        ("x" * 300, "cannot be written"),
    ):
        assert said in refuse(2, "build", "bert", "--task", "fill-mask", "-o", output)
        assert contents(tmp_path) == before


def test_an_output_without_permission_is_refused(tmp_path: Path, refuse: Refuse, monkeypatch: pytest.MonkeyPatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        # The superuser may write anywhere, so the question is answered for it.
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)
    assert "no permission in" in refuse(2, "build", "bert", "--task", "fill-mask", "-o", closed / "artifact")
    assert not list(closed.iterdir())


# Checkpoints, looked at before any work


def rewrite_config(checkpoint: Path, **changes: object) -> None:
    path = checkpoint / "config.json"
    config = {**json.loads(path.read_text("utf-8")), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}), "utf-8")


def cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


WEIGHTS, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"


@dataclass(frozen=True)
class Damage:
    """What is done to a checkpoint, and how it is refused."""

    spoil: Callable[[Path], object]
    said: str
    code: int = 1


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda checkpoint: (checkpoint / name).write_bytes(content)


def delete(name: str) -> Callable[[Path], object]:
    return lambda checkpoint: (checkpoint / name).unlink()


def change(**values: object) -> Callable[[Path], object]:
    return lambda checkpoint: rewrite_config(checkpoint, **values)


def shard(weight_map: object) -> Callable[[Path], object]:
    """Put an index of shards in the place of the weights."""

    def spoil(checkpoint: Path) -> None:
        delete(WEIGHTS)(checkpoint)
        write(INDEX, json.dumps({"weight_map": weight_map}).encode())(checkpoint)

    return spoil


def header(text: bytes, data: bytes = b"") -> Callable[[Path], object]:
    """Give the weights a header that is written as a safetensors file has it."""
    return write(WEIGHTS, len(text).to_bytes(8, "little") + text + data)


BROKEN = {
    "no-weights": Damage(delete(WEIGHTS), "there are no weights"),
    "no-config": Damage(delete(CONFIG), "there is no config.json"),
    "no-model-type": Damage(change(model_type=...), "has no 'model_type'"),
    "unknown-model-type": Damage(change(model_type="berd"), "there is no spec for the architecture 'berd'", 2),
    "model-type-is-a-path": Damage(change(model_type="../specs/bert"), "there is no spec", 2),
    "model-type-is-a-number": Damage(change(model_type=3), "has no 'model_type'"),
    "no-task": Damage(change(architectures=[]), "give --task", 2),
    "unknown-class": Damage(change(architectures=["BertForFrobnication"]), "give --task", 2),
    "architectures-is-a-number": Damage(change(architectures=3), "give --task", 2),
    "config-is-not-json": Damage(write(CONFIG, b'{"a": '), "is not valid JSON"),
    "config-is-not-text": Damage(write(CONFIG, b"\xff\xfe\x00"), "is not valid JSON"),
    "config-is-a-list": Damage(write(CONFIG, b"[]"), "does not hold a JSON object"),
    "config-is-deep": Damage(write(CONFIG, b"[" * 200_000), "is not valid JSON"),
    "truncated": Damage(lambda checkpoint: cut(checkpoint / WEIGHTS, -100), "is truncated"),
    "cut-in-the-header": Damage(
        lambda checkpoint: cut(checkpoint / WEIGHTS, 100), "is not a readable safetensors file"
    ),
    "empty-weights": Damage(write(WEIGHTS, b""), "is empty"),
    "not-safetensors": Damage(write(WEIGHTS, b"<html>404</html>" * 20), "is not a readable safetensors file"),
    "header-is-not-json": Damage(header(b"{nonsense}"), "its header is not JSON"),
    "header-is-a-list": Damage(header(b"[]"), "its header is not a mapping"),
    "header-is-deep": Damage(header(b"[" * 200_000), "its header is not JSON"),
    "entry-is-malformed": Damage(header(b'{"a": {"dtype": "F32"}}'), "the entry of 'a' is malformed"),
    "entry-is-nonsense": Damage(
        header(b'{"a": {"dtype": [], "shape": ["x"], "data_offsets": [null, {}]}}'), "the entry of 'a' is malformed"
    ),
    "wrong-offsets": Damage(
        header(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}', b"1234"), "'a' has 4 bytes"
    ),
    "negative-offsets": Damage(
        header(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}', b"1234"), "'a'"
    ),
    "missing-shard": Damage(shard({"a": "model-1.safetensors"}), "the shard model-1.safetensors"),
    "shard-outside": Damage(shard({"a": "../../secret"}), "outside the checkpoint's directory"),
    "index-without-a-map": Damage(shard([]), "has no weight_map"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_checkpoints_are_refused_before_any_work(name: str, bert: Path, tmp_path: Path, refuse: Refuse):
    damage = BROKEN[name]
    damage.spoil(bert)
    intact = occupy(tmp_path / "out" / "artifact")
    said = refuse(damage.code, "build", "--model", bert, "-o", "out/artifact")
    assert damage.said in said
    assert len(said) < 2000
    intact()


def test_a_hub_id_without_a_network_fails_within_seconds(tmp_path: Path, run: Run):
    before = contents(tmp_path)
    said = assert_clean_failure(
        run("build", "--model", "some-organization/some-model", timeout=60, HF_HOME=str(tmp_path / "hub")), 1
    )
    assert "the hub cannot be reached" in said
    assert "give the path of a local checkpoint" in said
    shutil.rmtree(tmp_path / "hub", ignore_errors=True)
    assert contents(tmp_path) == before


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-m", "exporter.cli", "list", "--json"],
        cwd=tmp_path,
        env=offline_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(60) in (0, 1)
    assert "Traceback" not in said

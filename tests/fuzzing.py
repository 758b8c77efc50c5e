"""Inputs that a stranger could make, and what reads them: the targets of ``tests/stories/test_fuzz.py``.

A target writes one input below a directory, drawn by a `random.Random`, and reads it as the program would. An input
is well taken where reading ends, with findings or an `ExporterError`. Binary inputs are real files of the writers that
the tests have, in which bytes and numbers are changed, put in, taken out and cut off.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import foreign_writers as writers
from commands import SPECS, TINY_BERT

import exporter
from exporter.cli.render.machine import diagnostics_github, diagnostics_sarif, findings_data, to_json
from exporter.cli.render.text import render_diagnostics
from exporter.errors import ExporterError
from exporter.language.expressions import ExpressionError, ProcessorValues, evaluate_expression, expression_paths
from exporter.language.tensor_type import TensorTypeError, parse_tensor_type

# Where the limits of formats are: signs, widths, and what JSON has besides numbers.
NUMBERS = (0, 1, 2, 7, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62, 2**63, 2**64)
JSON_VALUES = (
    *("null", "true", "-1", "0", "1", "1e999", "-0.0", "NaN", "Infinity", "1.5", '""', '"x"', '"\\ud800"', "[]", "{}"),
    *(
        "[[]]",
        '{"a": 1}',
        "9" * 30,
        "9" * 5000,
        "[" * 40 + "]" * 40,
        "[" * 5000,
        '"\\u0000"',
        '"../x"',
        '"/etc/passwd"',
    ),
    *('{"a": 1, "a": 2}', "[1, -1]", "[0, 99999999999]", "[4294967296, 4294967296]", '"F64"', '"XX"', '"😀"'),
)
YAML_BITS = (
    *(
        '"\\0"',
        '"\\x07"',
        '"\\ud800"',
        '"\\uFFFF"',
        "x" * 300,
        "é" * 200,
        "/dev/zero",
        "fill-mask-with-past",
        "with-past: {}",
    ),
    *("&a ", "*a", "!!python/object:os.system ", "<<: ", "---\n", "...\n", "? ", "- ", ": ", "{", "}", "[", "]", "|\n"),
    *(
        ">-\n",
        "'",
        '"',
        "#",
        "# exporter: ignore[x] y",
        "\t",
        "\r",
        "\x00",
        "﻿",
        "‮",
        "null",
        "true",
        "~",
        "0x" + "f" * 40,
    ),
    *(
        "1e999",
        ".nan",
        "-.inf",
        "9" * 50,
        "{layer}",
        "config.x",
        "int64[batch] = ones",
        "float[",
        "= randint(",
        "ending(",
    ),
    *(
        "'%900000000d' % 1",
        "{derived: x}",
        "{trace: 0, check: []}",
        "when: ",
        "extends: ",
        "../",
        "%YAML 9.9\n",
        "tasks:\n",
    ),
)
WORDS = (
    *("config", "processor", "config.hidden_size", "config.name", "config.sizes", "config.sizes[0]", "height", "width"),
    *("0", "1", "7", "64", "2.5", "1e308", "9" * 25, "'x'", "'%9d'", "true", "none", "[1, 2]", "(3,)", "[]", "{}"),
)
OPERATORS = (
    *(
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "**",
        "~",
        "==",
        "!=",
        "<",
        ">=",
        "in",
        "not in",
        "and",
        "or",
        "is",
        "|",
        ".",
        "if",
    ),
    *(
        "else",
        "not",
        "(",
        ")",
        "[",
        "]",
        ",",
        ":",
        "| length",
        "| max",
        "| sum",
        "| product",
        "| int",
        "| convolved(3, 2)",
    ),
    *(
        "is defined",
        "is none",
        "| center(9999)",
        ".__class__",
        "()",
        "| join('x')",
        "{{",
        "}}",
        "{%",
        "%}",
        "#",
        "\\",
        "\n",
    ),
)


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes:
        name: its name.
        write: writes an input below a directory and returns what to read.
        read: reads it as the program does. Anything but an `ExporterError` is a bug.
    """

    name: str
    write: Callable[[random.Random, Path], Path]
    read: Callable[[Path], None]

    def run(self, seed: int, directory: Path) -> None:
        """Write the input of a seed and read it."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        place = self.write(random.Random(f"{self.name} {seed}"), directory)
        try:
            self.read(place)
        except ExporterError as error:
            assert error.exit_code != 3, error
            assert len(str(error)) < 100_000


# Changes of texts and bytes


def mutate_text(draw: random.Random, text: str, bits: tuple[str, ...]) -> str:
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        at = draw.randrange(len(text) + 1)
        end = min(len(text), at + draw.choice((0, 0, 1, 3, 20, 200)))
        kind = draw.randrange(6)
        if kind == 0:
            text = text[:at] + text[end:]
        elif kind == 1:
            text = text[:at] + draw.choice(bits) + text[end:]
        elif kind == 2:
            text = text[:at] + text[at:end] * draw.choice((2, 3, 50)) + text[end:]
        elif kind == 3:
            lines = text.split("\n")
            draw.shuffle(lines)
            text = "\n".join(lines)
        elif kind == 4:
            other = draw.randrange(len(text) + 1)
            text = text[:at] + text[other : other + 80] + text[at:]
        else:
            text = text[:at]
    return text[:400_000]


def mutate_bytes(draw: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        # Headers are at the beginning of most formats, and at the end of tables.
        bound = draw.choice((16, 64, 512, len(changed)))
        at = draw.randrange(min(bound, len(changed)) + 1)
        at = len(changed) - at if draw.random() < 0.2 else at
        kind = draw.randrange(7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << draw.randrange(8)
        elif kind == 1 and at < len(changed):
            changed[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, 0xC6, 0xC9, 0xDB, 0xDD, 0xDF, draw.randrange(256)))
        elif kind == 2:
            width = draw.choice((1, 2, 4, 8))
            number = draw.choice(NUMBERS) % (1 << 8 * width)
            changed[at : at + width] = number.to_bytes(width, draw.choice(("little", "big")))
        elif kind == 3:
            changed[at:at] = draw.randbytes(draw.choice((1, 2, 8, 100)))
        elif kind == 4:
            del changed[at : at + draw.choice((1, 2, 8, 100))]
        elif kind == 5:
            changed[at:at] = changed[at : at + draw.choice((8, 64, 512))] * draw.choice((1, 1, 20))
        else:
            del changed[at:]
    return bytes(changed)


def mutate_json(draw: random.Random, data: str) -> bytes:
    """Change values of a JSON text in place, or its characters."""
    if draw.random() < 0.5:
        marks = [index for index, char in enumerate(data) if char in ":,["]
        for at in sorted(draw.sample(marks, min(draw.choice((1, 1, 2, 5)), len(marks))), reverse=True):
            end = next((index for index in range(at + 1, len(data)) if data[index] in ",]}"), len(data))
            data = data[: at + 1] + draw.choice(JSON_VALUES) + data[end:]
        return (draw.choice(("", "", "", "﻿")) + data).encode("utf-8", "surrogatepass")
    return mutate_bytes(draw, data.encode("utf-8"))


# Documents


@lru_cache(maxsize=1)
def documents() -> list[str]:
    paths = [*sorted(SPECS.glob("*.yaml"))[::9], *sorted((SPECS / "families").glob("*.yaml"))]
    return [path.read_text("utf-8") for path in paths]


BUILD_FILE = """\
spec_version: 1
kind: build
output: out
builds:
  - {spec: bert, tasks: [fill-mask], opset: 17, dtype: float16, atol: 1.0e-3}
  - {spec: gpt2, tasks: [text-generation-with-past], targets: [onnx, torchscript], dims: {batch: 1}, seed: 3}
  - {model: checkpoint, framework: tf, static: true, settings: {freeze: true}, variant: 1}
"""


def write_document(draw: random.Random, directory: Path) -> Path:
    path = directory / "example.yaml"
    text = draw.choice(documents())
    if draw.random() < 0.3:
        text = tree(draw, 0)
    data = mutate_text(draw, text, YAML_BITS).encode("utf-8", "surrogatepass")
    path.write_bytes(mutate_bytes(draw, data) if draw.random() < 0.2 else data)
    return path


def tree(draw: random.Random, depth: int) -> str:
    """Return a flow mapping of words of the language in any order."""
    keys = ("dims", "inputs", "outputs", "tasks", "cache", "components", "config", "reference", "fill-mask", "check")
    leaves = (
        "1",
        "x",
        "null",
        "[]",
        "config.x",
        "'int64[batch, x] = ones'",
        "{trace: 2, check: [1]}",
        "~",
        "{derived: y}",
    )
    pairs = []
    for _ in range(draw.randrange(1, 6)):
        value = tree(draw, depth + 1) if depth < 5 and draw.random() < 0.5 else draw.choice(leaves)
        pairs.append(f"{draw.choice(keys)}{draw.choice(('', '', str(draw.randrange(99))))}: {value}")
    head = "spec_version: 1, architecture: example, extends: encoder, " if depth == 0 else ""
    return "{" + head + ", ".join(pairs) + "}"


def read_document(path: Path) -> None:
    result = exporter.lint(path)
    assert "rule-crashed" not in {finding.rule for finding in result.diagnostics}, result.diagnostics
    for write in (render_diagnostics, diagnostics_sarif, diagnostics_github):
        write(result.diagnostics).encode("utf-8")
    to_json(findings_data(result.diagnostics)).encode("utf-8")
    exporter.api.compose(str(path))


def write_build_file(draw: random.Random, directory: Path) -> Path:
    path = directory / "build.yaml"
    path.write_bytes(mutate_text(draw, BUILD_FILE, YAML_BITS).encode("utf-8", "surrogatepass"))
    return path


def read_build_file(path: Path) -> None:
    exporter.lint(path)
    exporter.api.plan_builds([str(path)], {})


# Lines


def write_expression(draw: random.Random, directory: Path) -> Path:
    parts = [draw.choice(WORDS if draw.random() < 0.5 else OPERATORS) for _ in range(draw.choice((1, 3, 5, 9, 40)))]
    text = draw.choice((" ", " ", "")).join(parts)
    path = directory / "expression.txt"
    path.write_text(mutate_text(draw, text, WORDS + OPERATORS) if draw.random() < 0.5 else text, "utf-8")
    return path


class FuzzedConfig:
    """A config with values of every kind that JSON has."""

    hidden_size, name, ratio, none, flag = 32, "relu", 0.5, None, True
    sizes = (1, 2, 3)
    labels = {"0": "a", "1": "b"}  # noqa: RUF012 - read as an attribute of a config
    long = "x" * 50_000


def read_expression(path: Path) -> None:
    text = path.read_text("utf-8")
    try:
        expression_paths(text)
        value = evaluate_expression(text, FuzzedConfig(), {"height": 24, "width": 36}, ProcessorValues({"a": 1}))
    except ExpressionError as error:
        assert 0 <= error.start <= error.end <= max(len(text), 1)
    else:
        assert not isinstance(value, int) or abs(value) < 1 << 63
        assert not isinstance(value, str) or len(value) <= 50_000


TENSORS = (
    "int64[batch, sequence] = randint(vocab) ending(eos)",
    "float[batch, past + sequence, 4]",
    "bool[] = bernoulli(0.5)",
)
TENSOR_BITS = ("[", "]", "(", ")", ",", "+", "=", ".", "9" * 40, "batch", "randint", "ending", "\u0663", "\n", " ", "é")


def write_tensor_line(draw: random.Random, directory: Path) -> Path:
    path = directory / "tensor.txt"
    text = mutate_text(draw, draw.choice(TENSORS), TENSOR_BITS)
    path.write_text(text, "utf-8", newline="")
    return path


def read_tensor_line(path: Path) -> None:
    text = path.read_bytes().decode("utf-8")
    try:
        parsed = parse_tensor_type(text)
    except TensorTypeError as error:
        assert 0 <= error.start <= error.end
    else:
        assert parse_tensor_type(str(parsed)).dtype == parsed.dtype


# Checkpoints


@lru_cache(maxsize=1)
def real_files() -> dict[str, bytes]:
    """Return the files of a small checkpoint in every format that is read, by their names."""
    import torch
    from safetensors.torch import save_file

    weights = {
        "bert.encoder.layer.0.dense.weight": ("kernel", torch.arange(24.0).reshape(4, 6)),
        "bert.encoder.layer.0.dense.bias": ("shift", torch.arange(4.0)),
        "bert.embeddings.word.weight": ("embedding", torch.arange(30.0).reshape(10, 3)),
        "bert.norm.weight": ("scale", torch.ones(6)),
    }
    with TemporaryDirectory() as name:
        folder = Path(name)
        for write in (writers.write_hdf5, writers.write_hdf5_shards, writers.write_msgpack, writers.write_savedmodel):
            write(weights, folder)
        save_file({key: tensor for key, (_, tensor) in weights.items()}, folder / "model.safetensors", {"format": "pt"})
        _write_compressed(folder / "compressed.h5")
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _write_compressed(path: Path) -> None:
    import h5py
    import numpy as np

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"main"]
        group = file.create_group("main")
        group.attrs["weight_names"] = [b"a"]
        group.create_dataset(
            "a", data=np.zeros((64, 64), np.float32), chunks=(16, 16), compression="gzip", maxshape=(None, None)
        )


def write_safetensors(draw: random.Random, directory: Path) -> Path:
    data = real_files()["model.safetensors"]
    length = struct.unpack("<Q", data[:8])[0]
    if draw.random() < 0.6:
        header = mutate_json(draw, data[8 : 8 + length].decode())
        said = len(header) if draw.random() < 0.9 else draw.choice(NUMBERS) % 2**64
        data = struct.pack("<Q", said) + header + data[8 + length :]
    else:
        data = mutate_bytes(draw, data)
    (directory / "model.safetensors").write_bytes(data)
    return directory / "model.safetensors"


def read_safetensors_file(path: Path) -> None:
    from exporter.models.checkpoints.conversion import read_safetensors
    from exporter.models.checkpoints.safetensors_file import safetensors_framework

    safetensors_framework(path)
    _drain(read_safetensors(path, "pt"))


def write_index(draw: random.Random, directory: Path) -> Path:
    (directory / "config.json").write_text(json.dumps({"model_type": "bert", **TINY_BERT}), "utf-8")
    (directory / "model-00001-of-00001.safetensors").write_bytes(real_files()["model.safetensors"])
    names = (
        "bert.encoder.layer.0.dense.weight",
        "bert.encoder.layer.0.dense.bias",
        "bert.embeddings.word.weight",
        "bert.norm.weight",
    )
    index = {"metadata": {"total_size": 256}, "weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    (directory / "model.safetensors.index.json").write_bytes(mutate_json(draw, json.dumps(index)))
    return directory


def write_config(draw: random.Random, directory: Path) -> Path:
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        **TINY_BERT,
        "id2label": {"0": "a"},
        "pad_token_id": 0,
    }
    (directory / "config.json").write_bytes(mutate_json(draw, json.dumps(config)))
    (directory / "model.safetensors").write_bytes(real_files()["model.safetensors"])
    return directory


def read_checkpoint(directory: Path) -> None:
    from exporter.models.checkpoints import open_directory
    from exporter.models.checkpoints.conversion import read_weights

    checkpoint = open_directory(directory, "checkpoint")
    checkpoint.read_config()
    _drain(read_weights(checkpoint))


def write_hdf5(draw: random.Random, directory: Path) -> Path:
    name = draw.choice(("tf_model.h5", "compressed.h5", "tf_model-00001-of-00002.h5"))
    (directory / "tf_model.h5").write_bytes(mutate_bytes(draw, real_files()[name]))
    return directory / "tf_model.h5"


def read_hdf5_file(path: Path) -> None:
    from exporter.models.checkpoints.hdf5_file import read_hdf5

    _drain(read_hdf5([path]))


def write_msgpack(draw: random.Random, directory: Path) -> Path:
    (directory / "flax_model.msgpack").write_bytes(mutate_bytes(draw, real_files()["flax_model.msgpack"]))
    return directory / "flax_model.msgpack"


def read_msgpack_file(path: Path) -> None:
    from exporter.models.checkpoints.msgpack_file import read_msgpack

    _drain(read_msgpack([path]))


def write_savedmodel(draw: random.Random, directory: Path) -> Path:
    folder = "saved_model/1/variables"
    changed = draw.choice(("variables.index", "variables.index", "variables.data-00000-of-00001"))
    for name in ("variables.index", "variables.data-00000-of-00001"):
        data = real_files()[f"{folder}/{name}"]
        (directory / name).write_bytes(mutate_bytes(draw, data) if name == changed else data)
    return directory / "variables.index"


def read_savedmodel_index(path: Path) -> None:
    from exporter.models.checkpoints.savedmodel import read_savedmodel

    _drain(read_savedmodel(path))


# Artifacts


@lru_cache(maxsize=1)
def real_artifact() -> dict[str, bytes]:
    """Return the manifest of a small artifact, and the files it names, whose graph is none."""
    plan = exporter.plan("bert", "fill-mask")
    files = {"model.onnx": b"no graph", "golden/model.npz": b"no vectors", "config.json": b"{}"}
    manifest = {
        "manifest_version": 2,
        "architecture": "bert",
        "task": plan.task,
        "source": {"kind": "reference", "name": None, "commit": None, "files": {}, "remarks": [], "left_behind": {}},
        "versions": {"exporter": "0.1.0"},
        "plan": plan.to_data(),
        "report": None,
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in files.items()
        },
    }
    return {"manifest.json": json.dumps(manifest, indent=1).encode(), **files}


def write_artifact(draw: random.Random, directory: Path) -> Path:
    for name, content in real_artifact().items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes(content)
    manifest = mutate_json(draw, real_artifact()["manifest.json"].decode())
    (directory / "manifest.json").write_bytes(manifest)
    return directory


def read_artifact(directory: Path) -> None:
    report = exporter.verify(directory)
    assert not report.passed
    json.dumps(report.to_data())


def _drain(weights: Iterator[object]) -> None:
    for _ in weights:
        pass


TARGETS = (
    Target("document", write_document, read_document),
    Target("build-file", write_build_file, read_build_file),
    Target("expression", write_expression, read_expression),
    Target("tensor-line", write_tensor_line, read_tensor_line),
    Target("safetensors", write_safetensors, read_safetensors_file),
    Target("index", write_index, read_checkpoint),
    Target("config", write_config, read_checkpoint),
    Target("hdf5", write_hdf5, read_hdf5_file),
    Target("msgpack", write_msgpack, read_msgpack_file),
    Target("savedmodel", write_savedmodel, read_savedmodel_index),
    Target("manifest", write_artifact, read_artifact),
)

"""The classes of configs: read from an installed library, or from what the catalogue keeps for a machine without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from commands import SPECS, offline_environment

from exporter.language.catalog import list_specs
from exporter.language.loading import load_spec
from exporter.models import config_library
from exporter.models.config_classes import ConfigClass, ConfigClasses, Part, Rule
from exporter.models.config_code import read_classes
from exporter.models.config_library import (
    KEPT,
    find_config_class,
    library_directory,
    read_kept,
    write_kept,
)

# Architectures that specs name inside the configs of their references.
INNER = {
    str(part["model_type"])
    for path in list_specs()
    for values in (load_spec(path).reference, *load_spec(path).variants)
    for part in values.values()
    if isinstance(part, dict) and "model_type" in part
}


def test_the_catalogue_keeps_the_classes_of_its_architectures(request: pytest.FixtureRequest) -> None:
    directory = library_directory()
    assert directory is not None
    architectures = sorted({path.stem for path in list_specs()} | INNER)
    classes = read_classes(directory, architectures)
    assert classes is not None
    assert sorted(set(architectures) - set(classes.architectures)) == []
    if request.config.getoption("--update-goldens"):
        write_kept(SPECS / KEPT, classes)
    kept = read_kept(SPECS / KEPT)
    assert kept is not None
    if kept.version != classes.version:
        pytest.skip(f"they are kept as of transformers {kept.version}, and {classes.version} is installed")
    assert kept == classes


def test_classes_that_are_written_are_read_again(tmp_path: Path) -> None:
    kind = ConfigClass(
        "SmallConfig",
        "small",
        fields={"width": 3, "depths": [1, 2]},
        rules={"heads": Rule("none", "config.width")},
        parts={"inner": Part(architecture="bert", values={"x": 1})},
        untold_with={"old": ("width",)},
    )
    classes = ConfigClasses("5.0", {"small": "SmallConfig"}, {"SmallConfig": kind}, ("num_beams",), ("to_dict",))
    write_kept(tmp_path / KEPT, classes)
    assert read_kept(tmp_path / KEPT) == classes
    assert read_kept(tmp_path / "nothing.json") is None


def test_a_class_is_read_from_the_installed_library_or_from_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert library_directory() == Path(transformers.__file__).parent
    installed = find_config_class("bert")
    monkeypatch.setattr(config_library, "library_directory", lambda: None)
    kept = find_config_class("bert")
    assert installed is not None
    assert kept is not None
    assert installed[0].fields["vocab_size"] == kept[0].fields["vocab_size"] == transformers.BertConfig().vocab_size
    assert find_config_class("never-heard-of") is None


def test_reading_classes_imports_neither_the_library_nor_torch() -> None:
    script = (
        "import sys; from exporter.models.told_config import told_config;"
        "print(told_config('llama', {'hidden_size': 64, 'num_attention_heads': 4}).head_dim);"
        "print(sorted(set(sys.modules) & {'torch', 'transformers', 'huggingface_hub', 'onnx'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=offline_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "16\n[]\n"

"""The list of targets: found by name, settings sent to their owners, and toolchains imported before any work."""

from __future__ import annotations

import dataclasses

import pytest

from exporter.errors import ExportError, UsageError
from exporter.targets.registry import TARGETS, find_target, import_toolchain, refuse_foreign_settings


def test_a_target_is_found_by_its_name():
    assert find_target("torchscript") is TARGETS["torchscript"]
    with pytest.raises(UsageError, match="unknown target 'tflite'") as caught:
        find_target("tflite")
    assert caught.value.help == f"the targets are: {', '.join(sorted(TARGETS))}"


def test_settings_of_others_are_refused_with_their_owner():
    onnx = find_target("onnx")
    refuse_foreign_settings(onnx, {})
    with pytest.raises(UsageError, match="--auto-cast does not go with the target onnx") as caught:
        refuse_foreign_settings(onnx, {"auto_cast": "all"})
    assert caught.value.help == "it belongs to --target neuron"
    # What is nobody's is refused by the target itself, with what it has.
    refuse_foreign_settings(onnx, {"nobodys": True})


def test_a_toolchain_that_is_there_is_imported():
    import_toolchain(find_target("onnx"), {})
    import_toolchain(dataclasses.replace(find_target("neuron"), build_modules=lambda _: ("json",)), {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('raise ImportError("\\nWRONG PACKAGE\\nread the docs")', "ImportError: WRONG PACKAGE"),
        ("raise AssertionError", "AssertionError"),
        ('raise RuntimeError("no device")', "RuntimeError: no device"),
    ],
)
def test_a_toolchain_that_cannot_be_imported_is_one_clear_error(
    text: str, said: str, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "toolchain_of_a_test.py").write_text(text, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    target = dataclasses.replace(
        find_target("neuron"), build_modules=lambda _: ("toolchain_of_a_test",), help="get it from its vendor"
    )
    with pytest.raises(ExportError) as caught:
        import_toolchain(target, {})
    expected = f"the target neuron needs the package 'toolchain_of_a_test', which cannot be imported: {said}"
    assert caught.value.message == expected
    assert caught.value.help == "get it from its vendor"


def test_what_is_imported_follows_the_settings():
    seen = []
    target = dataclasses.replace(find_target("neuron"), build_modules=lambda settings: seen.append(settings) or ())
    import_toolchain(target, {"instance_type": "inf1"})
    assert seen == [{"instance_type": "inf1"}]

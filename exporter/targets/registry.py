"""The targets there are: one line each."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from exporter.errors import ExportError, UsageError, describe_error
from exporter.planning.target import Settings, Target
from exporter.targets import neuron, onnx, openvino, torch_export, torchscript

TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        onnx.TARGET,
        openvino.TARGET,
        torchscript.TARGET,
        neuron.TARGET,
        torch_export.TARGET,
    )
}


def find_target(name: str) -> Target:
    """Return a target by name.

    Raises:
        UsageError: there is none.
    """
    target = TARGETS.get(name)
    if target is None:
        raise UsageError(f"unknown target '{name}'", help=f"the targets are {', '.join(TARGETS)}")
    return target


def refuse_foreign_settings(target: Target, settings: Settings) -> None:
    """Refuse settings that belong to other targets.

    Raises:
        UsageError: names the targets they belong to.
    """
    for name in settings:
        owners = ", ".join(other.name for other in TARGETS.values() if other.find_flag(name) is not None)
        if target.find_flag(name) is None and owners:
            raise UsageError(
                f"--{name.replace('_', '-')} does not go with the target {target.name}",
                help=f"it belongs to --target {owners}",
            )


def import_toolchain(target: Target, settings: Settings) -> None:
    """Import what a target is built with and this package does not bring, before any work is done for it.

    Raises:
        ExportError: something is not there, or is not what its name says.
    """
    for name in target.build_modules(settings):
        try:
            importlib.import_module(name)
        except Exception as error:
            # Whatever a package that is not the real one raises.
            raise ExportError(
                f"the target {target.name} needs the package '{name}', which cannot be imported: "
                f"{describe_error(error)}",
                help=target.help,
            ) from error

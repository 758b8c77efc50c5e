"""The targets there are: one line each."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from exporter.errors import ExportError, UsageError, describe_error, did_you_mean
from exporter.planning.target import Settings, Target
from exporter.targets import neuron, onnx, openvino, torch_export, torchscript
from exporter.versions import is_installed

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
        raise UsageError(f"unknown target '{name}'", help=did_you_mean(name, TARGETS, otherwise="the targets are"))
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


def find_toolchain(target: Target, settings: Settings) -> None:
    """Find what a target is built with and this package does not bring, without importing it.

    What is there may still be something else than its name says, which shows when it is imported.

    Raises:
        ExportError: something is not there.
    """
    for name in target.build_modules(settings):
        missing = name.partition(".")[0]
        if not is_installed(missing):
            raise _unusable(target, name, ModuleNotFoundError(f"No module named {missing!r}"))


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
            raise _unusable(target, name, error) from error


def _unusable(target: Target, name: str, error: Exception) -> ExportError:
    return ExportError(
        f"the target {target.name} needs the package '{name}', which cannot be imported: {describe_error(error)}",
        help=target.help,
    )

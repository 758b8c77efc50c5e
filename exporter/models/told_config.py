"""A config without transformers: the values that its data and what is known of its class tell.

A value that only transformers' code would give is not guessed: asking for it raises `UntoldError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exporter.errors import UsageError
from exporter.language.expressions import ExpressionError, evaluate_expression
from exporter.models.checkpoints.directory import Checkpoint
from exporter.models.config_classes import ConfigClass, ConfigClasses, Part
from exporter.models.config_library import find_config_class, library_directory
from exporter.models.run_time_flags import without_flags

_ROPE = "rope_parameters"
# Keys with which transformers' code makes another config of what is given.
_CHANGING = ("per_layer_config",)


class UntoldError(UsageError):
    """Something follows from code of transformers alone."""

    def __init__(self, what: str) -> None:
        advice = "build it, which imports transformers" if library_directory() is not None else "install transformers"
        super().__init__(f"{what} follows from code of transformers, which is not run for this", help=advice)


def told_config(architecture: str, values: Mapping[str, Any], overlay: Mapping[str, Any] | None = None) -> ToldConfig:
    """Return the config of an architecture with given values.

    Args:
        architecture: the architecture.
        values: the values, as ``config.json`` has them.
        overlay: values that are set once the config is made.

    Raises:
        UntoldError: nothing is known of the class of its config.
    """
    found = find_config_class(architecture)
    if found is None or any(key in values for key in (*_CHANGING, "auto_map")):
        raise UntoldError(f"the config of '{architecture}'")
    kind, classes = found
    return ToldConfig(kind, classes, values, overlay)


def told_config_of(checkpoint: Checkpoint, task_config: Mapping[str, Any]) -> ToldConfig:
    """Return the config of a checkpoint with the task's settings applied.

    Raises:
        UntoldError: nothing is known of the class of its config.
        CheckpointError: the config cannot be read.
    """
    data = checkpoint.read_config()
    return told_config(str(data.get("model_type")), without_flags(data), task_config)


class ToldConfig:
    """The values of a config as attributes, as transformers' config of the same data has them."""

    def __init__(
        self,
        kind: ConfigClass,
        classes: ConfigClasses,
        values: Mapping[str, Any],
        overlay: Mapping[str, Any] | None = None,
    ) -> None:
        self._kind, self._classes = kind, classes
        self._values = dict(values)
        self._overlay = {kind.aliases.get(key, key): value for key, value in (overlay or {}).items()}
        behind = {key: names for key, names in kind.untold_with.items() if self._values.get(key) is not None}
        self._untold = {
            *(set(classes.methods) - set(kind.fields)),
            *kind.untold,
            *(name for names in behind.values() for name in names),
        }
        # What is given under another name is set when all else is done.
        self._last = {
            kind.aliases[key]: value
            for key, value in self._values.items()
            if key in kind.aliases and key not in kind.fields
        }

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        kind = self._kind
        name = kind.aliases.get(name, name)
        if name in self._overlay:
            return self._overlay[name]
        if name == "model_type" and kind.model_type:
            return kind.model_type
        if name == "num_labels" and name not in self._untold:
            return self._count_labels()
        if name == _ROPE and kind.rope is not None:
            return self._rope()
        if name in self._last:
            return self._last[name]
        return self._value(name)

    def known_names(self) -> set[str]:
        """Return the names that the config has, for who misspells one."""
        kind = self._kind
        return {*kind.fields, *kind.rules, *kind.parts, *self._values, *self._overlay}

    def _value(self, name: str) -> Any:
        """Return a value as the class's code sees it."""
        kind = self._kind
        if name in self._untold:
            raise UntoldError(f"the value '{name}' of the config")
        renamed = next(
            (key for key, new in kind.renamed.items() if new == name and self._values.get(key) is not None), ""
        )
        if renamed:
            return _listed(self._values[renamed])
        if name in kind.parts:
            return self._part(name, kind.parts[name])
        if name in kind.fields:
            value = self._values.get(name, kind.fields[name])
        elif name in kind.rules:
            value = None
        elif name in self._values and name not in self._classes.dropped:
            value = self._values[name]
        else:
            raise AttributeError(name)
        rule = kind.rules.get(name)
        if rule is None:
            return _listed(value)
        holds = {"always": True, "none": value is None, "falsy": not value, "absent": name not in self._values}[
            rule.where
        ]
        return self._evaluate(name, rule.value) if holds else _listed(value)

    def _evaluate(self, name: str, expression: str | None) -> Any:
        if expression is None:
            raise UntoldError(f"the value '{name}' of the config")
        try:
            return evaluate_expression(expression, _Raw(self))
        except ExpressionError:
            raise UntoldError(f"the value '{name}' of the config") from None

    def _part(self, name: str, part: Part) -> Any:
        given = self._values.get(name)
        rule = self._kind.rules.get(name)
        if given is None and rule is not None:
            return self._evaluate(name, rule.value)
        data = given if given is not None else part.values
        if not isinstance(data, Mapping) or any(key in data for key in _CHANGING):
            raise UntoldError(f"the part '{name}' of the config")
        if part.kind is not None:
            kind, classes = self._classes.classes.get(part.kind), self._classes
        else:
            found = find_config_class(str(data.get("model_type") or part.architecture))
            kind, classes = found if found is not None else (None, self._classes)
        if kind is None:
            raise UntoldError(f"the part '{name}' of the config")
        return ToldConfig(kind, classes, data)

    def _count_labels(self) -> int:
        count, default = self._values.get("num_labels"), self._kind.fields.get("id2label")
        labels = self._values.get("id2label", default)
        if count is None and labels is not None:
            count = len(labels) if isinstance(labels, Mapping) else None
        elif count is None:
            count = self._kind.labels
        if not isinstance(count, int) or isinstance(count, bool):
            raise UntoldError("the number of labels")
        return count

    def _rope(self) -> _Known:
        """Return the settings of rotary frequencies, of which the kinds are known, and no more."""
        kind, scaling = self._kind, self._values.get("rope_scaling")
        if kind.rope == "nested":
            given = self._value(_ROPE)
            if scaling or (given and not any(isinstance(item, Mapping) for item in given.values())):
                raise UntoldError("the rotary frequencies of the config")
            nested = {key: _with_kind(item) for key, item in (given or {}).items() if isinstance(item, Mapping)}
            defaults = {key: _with_kind({}) for key in ("full_attention", "sliding_attention")}
            return _Known({**defaults, **nested}, absent=("rope_type",))
        given = scaling or self._value(_ROPE) or {}
        if not isinstance(given, Mapping) or any(isinstance(item, Mapping) for item in given.values()):
            raise UntoldError("the rotary frequencies of the config")
        settings = _with_kind(given)
        if kind.rope == "changed" and settings["rope_type"] != "default":
            raise UntoldError("the rotary frequencies of the config")
        return _Known(settings, absent=("full_attention", "sliding_attention"))


class _Raw:
    """A config while its class's code runs: before what is given under other names is set."""

    def __init__(self, config: ToldConfig) -> None:
        self._config = config

    def __getattr__(self, name: str) -> Any:
        return self._config._value(self._config._kind.aliases.get(name, name))


class _Known(dict[str, Any]):
    """A mapping of which some entries are known, and some are known to be absent."""

    def __init__(self, known: Mapping[str, Any], absent: tuple[str, ...]) -> None:
        super().__init__(known)
        self._absent = absent

    def get(self, key: str, default: Any = None) -> Any:
        """Return an entry, or the default for one that is absent.

        Raises:
            UntoldError: nothing is known of it.
        """
        if key in self:
            return self[key]
        if key in self._absent:
            return default
        raise UntoldError(f"the setting '{key}' of the rotary frequencies")


def _with_kind(settings: Mapping[str, Any]) -> _Known:
    kind = settings.get("rope_type", settings.get("type", "default"))
    return _Known({**settings, "rope_type": kind}, absent=())


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

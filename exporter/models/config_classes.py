"""What transformers' config classes hold, as data: the defaults of their values, and which of them code decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Rule:
    """What a class does to a value once it has it.

    Attributes:
        where: ``absent`` for a value that is not given, ``none`` for one that is null too, ``falsy`` for one that is
            also 0 or empty, and ``always``.
        value: the value in its place, as an expression of the spec language; None where code alone tells it.
    """

    where: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A config inside another: its class, or the architecture whose class it has unless it names another."""

    kind: str | None = None
    architecture: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigClass:
    """A config class.

    Attributes:
        name: its name.
        model_type: the architecture it names itself.
        fields: the default of each value.
        aliases: names that stand for others: ``{"hidden_size": "n_embd"}``.
        renamed: keys of older configs, each with the value it takes the place of.
        rules: what becomes of values, by name.
        parts: the configs inside it.
        untold: names whose value code alone tells.
        untold_with: keys of a config that let code decide about names, with these names.
        labels: the number of labels where a config says nothing of them.
        rope: ``flat`` or ``nested`` for a class with rotary frequencies, by the form in which it keeps them;
            ``changed`` where it changes what it is given.
    """

    name: str
    model_type: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, Rule] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    untold: tuple[str, ...] = ()
    untold_with: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: int = 2
    rope: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigClasses:
    """Config classes by name, and the class of each architecture, of one version of transformers.

    ``dropped`` are keys of older configs that no config keeps: the settings of a generation. ``methods`` are names that
    every config has and that are no values of it.
    """

    version: str
    architectures: Mapping[str, str]
    classes: Mapping[str, ConfigClass]
    dropped: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

    def of(self, architecture: str) -> ConfigClass | None:
        """Return the class of an architecture; None where it is not told."""
        return self.classes.get(self.architectures.get(architecture, ""))

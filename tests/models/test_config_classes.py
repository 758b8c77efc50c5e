"""The class of an architecture's config, among those that are known."""

from __future__ import annotations

from exporter.models.config_classes import ConfigClass, ConfigClasses


def test_an_architecture_has_the_class_it_is_known_with() -> None:
    kind = ConfigClass("SmallConfig", "small")
    classes = ConfigClasses("5.0", {"small": "SmallConfig", "lost": "LostConfig"}, {"SmallConfig": kind})
    assert classes.of("small") is kind
    assert classes.of("lost") is None
    assert classes.of("never-heard-of") is None

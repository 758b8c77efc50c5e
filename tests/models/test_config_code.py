"""What is read of the source of config classes: defaults, a few forms of code, and that all else is left untold."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.models.config_classes import ConfigClass, Part, Rule
from exporter.models.config_code import read_classes

BASE = """
class PreTrainedConfig:
    attribute_map: ClassVar[dict] = {}
    id2label: dict | None = None
    return_dict: bool = True
    model_type: ClassVar[str] = ""

    @property
    def num_labels(self):
        return len(self.id2label)

    def to_dict(self):
        return {}
"""
MAPPINGS = """
CONFIG_MAPPING_NAMES = OrderedDict([("small", "SmallConfig"), ("small-inner", "InnerConfig")])
SPECIAL_MODEL_TYPE_TO_MODULE_NAME = OrderedDict([("small-inner", "small")])
"""
GENERATION = """
class GenerationConfig:
    @staticmethod
    def _get_default_generation_params():
        return {"num_beams": 1, "max_length": 20}
"""
SMALL = """
from ...configuration_utils import PreTrainedConfig, SubConfigSpec
from ..auto import AutoConfig

class InnerConfig(PreTrainedConfig):
    model_type = "small-inner"
    width: int = 7

class SmallConfig(PreTrainedConfig):
    model_type = "small"
    width: int = 8
    heads: int | None = None
    depths: tuple = (1, 2)
    made: list = field(default_factory=list)
"""


def read(tmp_path: Path, body: str, of: str = "small") -> ConfigClass:
    """Return the class of a library whose only config class has a body."""
    files = {
        "__init__.py": '__version__ = "5.0"\n',
        "configuration_utils.py": BASE,
        "generation/configuration_utils.py": GENERATION,
        "models/auto/auto_mappings.py": MAPPINGS,
        "models/small/configuration_small.py": SMALL + "\n".join(f"    {line}" for line in body.splitlines()) + "\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    classes = read_classes(tmp_path, (of,))
    assert classes is not None
    assert classes.version == "5.0"
    assert classes.dropped == ("num_beams", "max_length")
    assert classes.methods == ("attribute_map", "model_type", "to_dict")
    kind = classes.of(of)
    assert kind is not None
    return kind


def init(*lines: str) -> str:
    return "\n".join(["def __post_init__(self, **kwargs):", *(f"    {line}" for line in lines)])


def test_defaults_are_read(tmp_path: Path) -> None:
    kind = read(tmp_path, "attribute_map = {'size': 'width'}")
    assert kind.fields == {
        "width": 8,
        "heads": None,
        "depths": [1, 2],
        "made": None,
        "id2label": None,
        "return_dict": True,
    }
    assert kind.aliases == {"size": "width"}
    assert (kind.model_type, kind.labels, kind.rope, kind.untold) == ("small", 2, None, ())
    # A default that is computed is told where a value is given.
    assert kind.rules == {"made": Rule("absent")}


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("if self.heads is None: self.heads = self.width // 2", Rule("none", "(config.width // 2)")),
        ("self.heads = self.heads if self.heads is not None else self.width", Rule("none", "config.width")),
        ("self.heads = self.width if self.heads is None else self.heads", Rule("none", "config.width")),
        ("self.heads = self.heads or self.width", Rule("falsy", "config.width")),
        ("self.heads = self.heads if self.heads else self.width", Rule("falsy", "config.width")),
        ("self.heads = len(self.depths)", Rule("always", "(config.depths | length)")),
        ("self.heads = int(self.width * 2)", Rule("always", "((config.width * 2) | int)")),
        ("self.heads = True", Rule("always", "true")),
        ("if self.heads is None: self.heads = compute(self)", Rule("none", None)),
        ("if self.heads is None and kwargs.get('x'): self.heads = 3", Rule("none", None)),
    ],
)
def test_code_of_known_forms_becomes_a_rule(tmp_path: Path, line: str, rule: Rule) -> None:
    assert read(tmp_path, init(line, "super().__post_init__(**kwargs)")).rules["heads"] == rule


@pytest.mark.parametrize(
    "line",
    [
        "self.heads = compute(self)",
        "self.heads = self.heads + 1",
        "self.change_heads()",
        "for heads in self.depths: self.heads = heads",
        "if self.width > 3: self.heads = 4",
        "self.heads['a'] = 1",
        "self.heads.append(1)",
        "heads = self.heads",
    ],
)
def test_what_other_code_changes_is_untold(tmp_path: Path, line: str) -> None:
    body = init(line, "super().__post_init__(**kwargs)") + "\ndef change_heads(self):\n    self.heads = 3"
    assert "heads" in read(tmp_path, body).untold


def test_a_rule_whose_value_changes_behind_it_is_none(tmp_path: Path) -> None:
    assert "heads" in read(tmp_path, init("self.heads = self.width", "self.width = compute()")).untold
    assert "heads" in read(tmp_path, init("self.width = compute()", "self.heads = self.width")).untold
    assert "heads" in read(tmp_path, init("super().__post_init__(**kwargs)", "self.heads = 3")).untold


def test_keys_of_older_configs_are_read(tmp_path: Path) -> None:
    kind = read(
        tmp_path,
        init(
            "old = kwargs.pop('old_width', None)",
            "self.width = self.width if old is None else old",
            "if (given := kwargs.pop('old_heads', None)) is not None: self.heads = len(given)",
            "if self.id2label is None: self.num_labels = kwargs.pop('num_labels', 3)",
        ),
    )
    assert kind.renamed == {"old_width": "width"}
    assert kind.untold_with == {"old_heads": ("heads", "old_heads")}
    assert kind.labels == 3
    assert kind.untold == ("old_width",)


def test_properties_and_parts_are_read(tmp_path: Path) -> None:
    kind = read(
        tmp_path,
        "sub_configs_defaults = {'inner': InnerConfig, 'other': SubConfigSpec(config_class=AutoConfig,"
        " model_type='small-inner', init_kwargs={'width': 1})}\n"
        "@property\ndef half(self):\n    return self.width // 2\n@property\ndef rest(self):\n    return compute(self)",
    )
    assert kind.parts == {"inner": Part("InnerConfig"), "other": Part(None, "small-inner", {"width": 1})}
    assert kind.rules["half"] == Rule("always", "(config.width // 2)")
    assert "rest" in kind.untold


def test_a_class_that_sets_values_by_name_is_not_read(tmp_path: Path) -> None:
    read(tmp_path, "")
    path = tmp_path / "models/small/configuration_small.py"
    path.with_name("configuration_other.py").write_text(
        SMALL.replace("SmallConfig", "OtherConfig") + "    " + init("setattr(self, 'width', 3)").replace("\n", "\n    ")
    )
    mappings = tmp_path / "models/auto/auto_mappings.py"
    mappings.write_text(MAPPINGS.replace('("small", "SmallConfig")', '("small", "OtherConfig")'))
    from exporter.models.config_code import _parse, _read_mappings

    _parse.cache_clear()
    _read_mappings.cache_clear()
    classes = read_classes(tmp_path, ("small", "small-inner"))
    assert classes is not None
    assert dict(classes.architectures) == {"small-inner": "InnerConfig"}


def test_a_library_that_cannot_be_read_has_no_classes(tmp_path: Path) -> None:
    assert read_classes(tmp_path, ("small",)) is None

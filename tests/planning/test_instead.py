"""Every name of the earlier systems: it is here, or an error and a page say what to use.

``surface.json`` has the names of the last releases of ``transformers.onnx``, ``optimum.json`` those of an optimum-onnx.
``pytest --update-goldens`` writes the tables of the page.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import transformers
from commands import REPOSITORY

import exporter.onnx
from exporter.api import BuildOptions
from exporter.cli.main import cli
from exporter.onnx import FeaturesManager, OnnxConfig, OnnxConfigWithPast
from exporter.onnx.convert import check_onnxruntime_requirements, ensure_model_and_config_inputs_match
from exporter.planning.instead import _advice, advice_for

PAGE = REPOSITORY / "docs" / "migrating.md"
SURFACE: dict[str, dict[str, list[str]]] = json.loads(
    (REPOSITORY / "tests" / "onnx" / "surface.json").read_text("utf-8")
)

# A flag without an outcome of its own has an advice.
OPTIMUM: dict[str, Any] = json.loads((REPOSITORY / "tests" / "onnx" / "optimum.json").read_text("utf-8"))


def names() -> Iterator[tuple[str, str, str]]:
    for module, owners in SURFACE.items():
        for owner, members in owners.items():
            for member in members:
                yield module, owner, member


def outcome(module: str, owner: str, name: str) -> str:
    """Return ``works``, or what the error says to use."""
    try:
        place: Any = importlib.import_module(f"exporter.onnx.{module}")
    except ModuleNotFoundError:
        return f"not here: {advice_for('python', name) or 'nothing says what to use'}"
    place = getattr(place, owner) if owner else place
    if dataclasses.is_dataclass(place) and name in {each.name for each in dataclasses.fields(place)}:
        return "works"
    try:
        getattr(place, name)
    except (AttributeError, ImportError) as error:
        advice = advice_for("python", name)
        assert advice is not None, f"nothing says what to use for {module}.{owner}.{name}"
        if not isinstance(place, type) or place is FeaturesManager:
            assert str(error).endswith(f"has no attribute '{name}': {advice}")
        return f"not here: {advice}"
    assert advice_for("python", name) is None, f"{name} is here, and a text says what to use instead"
    return "works"


def python_table() -> str:
    rows = [
        f"| `{'.'.join(filter(None, (module, owner, name)))}` | {outcome(module, owner, name)} |"
        for module, owner, name in names()
    ]
    return "\n".join(("| `transformers.onnx.` | `exporter.onnx` |", "|---|---|", *rows)) + "\n"


def optimum_table() -> str:
    rows = [f"| `{name}` | {advice} |" for name, advice in _advice()["optimum"].items()]
    return "\n".join(("| optimum | use |", "|---|---|", *rows)) + "\n"


def flags_table() -> str:
    known = {name for option in cli.commands["build"].params for name in (*option.opts, *option.secondary_opts)}
    advice = _advice()["flags"]
    rows = []
    for flag in dict.fromkeys((*OPTIMUM["flags"], *advice)):
        assert (flag in known) != (flag in advice), f"{flag} is an option, or a text says what to use instead"
        outcome = OPTIMUM["flags"].get(flag)
        assert bool(outcome) == (flag in known), f"optimum.json says of {flag}: {outcome}"
        rows.append(f"| `{flag}` | {outcome or f'not here: {advice[flag]}'} |")
    return "\n".join(("| `optimum-cli export onnx` | `exporter build` |", "|---|---|", *rows)) + "\n"


def main_export_table() -> str:
    rows = []
    for name, here in OPTIMUM["main_export"].items():
        flag = _advice()["flags"].get(here)
        assert flag or not here.startswith("--"), f"nothing says what to use for {name}"
        is_option = here in BuildOptions.__annotations__
        assert is_option or name not in BuildOptions.__annotations__, f"{name} is an option"
        rows.append(f"| `{name}` | {f'`{here}`' if is_option else f'not here: {flag or here}'} |")
    return "\n".join(("| `main_export` | `exporter.build` |", "|---|---|", *rows)) + "\n"


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("names", python_table),
        ("optimum-names", optimum_table),
        ("optimum-flags", flags_table),
        ("main-export", main_export_table),
    ],
)
def test_the_page_has_every_name_and_what_becomes_of_it(name: str, table: Any, request: pytest.FixtureRequest):
    page = PAGE.read_text("utf-8")
    before, start, rest = page.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    assert start, f"docs/migrating.md has lost <!-- {name} -->"
    assert end, f"docs/migrating.md has lost <!-- /{name} -->"
    made = f"{before}{start}\n{table()}\n{end}{after}"
    if request.config.getoption("--update-goldens"):
        PAGE.write_text(made, "utf-8")
    assert page == made or request.config.getoption("--update-goldens"), "pytest --update-goldens writes it"


def test_everything_that_is_not_here_has_an_advice():
    assert "nothing says what to use" not in python_table()


def test_every_name_of_optimum_has_an_advice():
    assert set(OPTIMUM["names"]) <= set(_advice()["optimum"])


def test_a_flag_of_optimum_says_what_to_use(run: Any):
    done = run("build", "--model", "there", "--fp16")
    assert done.returncode == 2
    assert "No such option '--fp16'. It is one of optimum-cli's; here: --dtype float16" in done.stderr
    assert "one of optimum-cli's" not in run("build", "--nonsense").stderr


def test_names_of_the_package_are_imported_or_explained():
    for module in ("", ".convert", ".config", ".features"):
        with pytest.raises(ImportError, match=r"no attribute 'export_tensorflow': models of TensorFlow are not run"):
            exec(f"from exporter.onnx{module} import export_tensorflow")
    with pytest.raises(AttributeError, match=r"no attribute '_SUPPORTED_MODEL_TYPE': FeaturesManager.get_supported"):
        FeaturesManager._SUPPORTED_MODEL_TYPE  # noqa: B018
    assert advice_for("python", "nonsense") is None


def test_what_works_does_what_it_did():
    """The small names that no other test is about."""
    assert FeaturesManager.get_model_class_for_feature("masked-lm") is transformers.AutoModelForMaskedLM
    assert FeaturesManager.get_model_class_for_feature("causal-lm-with-past") is transformers.AutoModelForCausalLM
    model = transformers.BertModel(transformers.BertConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=4))
    matched = ensure_model_and_config_inputs_match(model, ["attention_mask", "input_ids"])
    assert matched == (True, ["input_ids", "attention_mask"])
    assert ensure_model_and_config_inputs_match(model, ["pixel_values"]) == (False, [])
    check_onnxruntime_requirements("1.4.0")
    with pytest.raises(exporter.UsageError, match="onnxruntime 99 or later is needed"):
        check_onnxruntime_requirements("99")
    config = OnnxConfig(model.config)
    assert (config.default_batch_size, config.default_sequence_length, config.default_num_choices) == (2, 8, 4)
    past = OnnxConfigWithPast(transformers.GPT2Config(n_layer=3, n_head=4), task="causal-lm")
    assert (past.num_layers, past.num_attention_heads) == (3, 4)
    assert list(past.flatten_output_collection_property("present", [(1, 2)])) == ["present.0.key", "present.0.value"]

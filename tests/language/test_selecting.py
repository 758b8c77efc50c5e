"""What is listed of a catalogue."""

from __future__ import annotations

import pytest

from exporter.errors import UsageError
from exporter.language.catalog import find_spec
from exporter.language.loading import load_spec
from exporter.language.selecting import Selection, select_specs
from exporter.language.spec import Spec


@pytest.fixture(scope="module")
def specs() -> list[Spec]:
    return [load_spec(str(find_spec(name))) for name in ("bert", "gpt2", "vit")]


@pytest.mark.parametrize(
    ("asked", "names", "tasks"),
    [
        (Selection(names=("bert",), task="ner"), ["bert"], {"token-classification"}),
        (Selection(task="masked-lm"), ["bert"], {"fill-mask"}),
        (Selection(task="text-generation"), ["bert", "gpt2"], {"text-generation", "text-generation-with-past"}),
        (Selection(family="image", task="image-classification"), ["vit"], {"image-classification"}),
        (Selection(search="FILL-mask"), ["bert"], {"fill-mask"}),
        (Selection(search="causal-lm", target="openvino"), ["bert", "gpt2"], None),
    ],
)
def test_what_is_asked_for_is_left(specs: list[Spec], asked: Selection, names: list[str], tasks: set[str] | None):
    selected = select_specs(specs, asked)
    assert [spec.architecture for spec in selected] == names
    if tasks is not None:
        assert {task for spec in selected for task in spec.tasks} == tasks


def test_nothing_asked_for_is_everything(specs: list[Spec]):
    assert select_specs(specs, Selection()) == specs


def test_a_target_that_a_spec_refuses_is_left_out():
    specs = [load_spec(str(find_spec(name))) for name in ("bert", "big_bird")]
    for target in ("neuron", "torchscript"):
        for spec in select_specs(specs, Selection(target=target)):
            for task in spec.tasks.values():
                assert target not in task.targets or task.targets[target].refused is None


@pytest.mark.parametrize(
    ("asked", "message", "help_"),
    [
        (Selection(names=("gpt-2",)), "there is no architecture 'gpt-2' here", "did you mean 'gpt2'?"),
        (Selection(family="encoders"), "there is no family 'encoders' here", "did you mean 'encoder'?"),
        (Selection(task="MaskedLM"), "unknown task 'MaskedLM'", "did you mean 'fill-mask'?"),
        (Selection(search="zzz"), "nothing in the catalogue is all that was asked for", "leave out"),
    ],
)
def test_what_there_is_not_is_said(specs: list[Spec], asked: Selection, message: str, help_: str):
    with pytest.raises(UsageError) as failure:
        select_specs([*specs, load_spec(str(find_spec("bert")))], asked)
    assert failure.value.message == message
    assert (failure.value.help or "").startswith(help_)

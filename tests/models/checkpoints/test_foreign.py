"""Names and layouts of TensorFlow and Flax, one by one, as PyTorch's."""

from __future__ import annotations

import pytest
import torch

from exporter.models.checkpoints.foreign import ForeignTensor, fit_shape, split_name, translate_weights


@pytest.mark.parametrize(
    ("framework", "name", "scoped", "steps"),
    [
        ("tf", "tf_bert/bert/encoder/layer_._0/dense/kernel:0", True, "bert encoder layer 0 dense kernel"),
        ("tf", "bert/encoder/layer_._0/dense/kernel:0", False, "bert encoder layer 0 dense kernel"),
        ("tf", "m/decoder___encoder/kernel:0", True, "encoder kernel"),
        ("tf", "model.encoder/layers.0/bias:0", False, "layers 0 bias"),
        ("flax", "params/encoder/layer/0/kernel", False, "encoder layer 0 kernel"),
        ("flax", "batch_stats.norm.mean", False, "norm mean"),
        ("flax", "encoder/kernel", False, "encoder kernel"),
        ("flax", "params", False, "params"),
    ],
)
def test_a_name_is_split_at_the_marks_of_its_framework(framework: str, name: str, scoped: bool, steps: str) -> None:
    assert split_name(ForeignTensor(framework, name, torch.ones(1), scoped)) == steps.split()


@pytest.mark.parametrize(
    ("framework", "leaf", "pytorch"),
    [
        ("tf", "gamma", "weight"),
        ("tf", "moving_variance", "running_var"),
        ("tf", "scale", "scale"),
        ("flax", "scale", "weight"),
        ("flax", "embedding", "weight"),
        ("flax", "relative_bias", "relative_bias"),
        ("tf", "depthwise_kernel", "depthwise.weight"),
    ],
)
def test_a_leaf_is_called_by_pytorchs_word(framework: str, leaf: str, pytorch: str) -> None:
    ((name, _),) = translate_weights([ForeignTensor(framework, f"layer/{leaf}", torch.ones(1))], {})
    assert name == f"layer.{pytorch}"


@pytest.mark.parametrize(("shape", "pytorch"), [((2, 3), (3, 2)), ((5, 2, 3), (3, 2, 5)), ((7, 5, 2, 3), (3, 2, 7, 5))])
def test_a_kernel_has_its_axes_the_other_way_round(shape: tuple[int, ...], pytorch: tuple[int, ...]) -> None:
    ((_, tensor),) = translate_weights([ForeignTensor("flax", "layer/kernel", torch.ones(shape))], {})
    assert tuple(tensor.shape) == pytorch
    ((_, tensor),) = translate_weights([ForeignTensor("flax", "layer/embedding", torch.ones(shape))], {})
    assert tuple(tensor.shape) == shape


def test_a_name_may_have_a_step_more_or_less_than_the_models() -> None:
    shapes = {"scale": torch.Size([]), "model.layer.bias": torch.Size([3, 1])}
    weights = [ForeignTensor("tf", "m/scale:0", torch.ones(1)), ForeignTensor("tf", "layer/bias:0", torch.ones(3))]
    translated = dict(translate_weights(weights, shapes))
    assert translated["m.scale"].shape == ()
    assert translated["layer.bias"].shape == (3, 1)


def test_only_axes_of_length_one_are_settled_by_the_model() -> None:
    tensor = torch.arange(6.0).reshape(1, 2, 3)
    assert fit_shape(tensor, torch.Size([2, 1, 3])).shape == (2, 1, 3)
    assert fit_shape(tensor, torch.Size([3, 2])) is tensor
    assert fit_shape(tensor, torch.Size([6])) is tensor
    assert fit_shape(tensor, None) is tensor

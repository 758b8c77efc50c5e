"""``OnnxConfig`` objects: the inputs and outputs of a graph for a transformers config, as the spec has them.

A subclass may override ``inputs`` and ``outputs`` to choose the tensors, their order, the axes that stay open, and the
names of those axes. One that declares ``inputs`` of an architecture or a task without a spec describes the graph alone:
what it does not say is measured on the model.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

from exporter.building.request import choose_task
from exporter.errors import UsageError, did_you_mean
from exporter.language.catalog import feature_of, list_specs, resolve_task
from exporter.language.loading import load_spec
from exporter.language.spec import WITH_PAST, Spec, TaskSpec
from exporter.onnx.boundary import choose_tensors, closed_dims, name_dims
from exporter.onnx.defaults import DEFAULT_ATOL, common_outputs, default_atol, default_opset, fill_options
from exporter.onnx.patching import PatchingSpec
from exporter.onnx.stand_ins import (
    CACHE,
    Axes,
    cache_shape,
    default_length,
    find_value,
    flatten_cache,
    flatten_stand_ins,
    make_stand_ins,
)
from exporter.onnx.utils import EXTERNAL_DATA_FORMAT_SIZE_LIMIT, ParameterFormat, compute_serialized_parameters_size
from exporter.planning.choices import DEFAULT_OPSETS
from exporter.planning.dummies import make_dummies
from exporter.planning.instead import missing_name
from exporter.planning.options import Options
from exporter.planning.plan import GraphPlan, Plan
from exporter.planning.planner import find_task, plan_task

# The opset of the earlier system where a class did not say otherwise.
DEFAULT_ONNX_OPSET = 11


class OnnxConfig:
    """The inputs and outputs of one graph of a model.

    Args:
        config: the transformers config of the model.
        task: a feature name or a task.
        patching_specs: what is put in the place of functions while the graph is recorded.

    Raises:
        UsageError: there is no spec for the architecture, or it does not have the task, and the class does not declare
            ``inputs`` of its own.
    """

    architecture: str | None = None
    use_past = False
    # What records a graph that no spec describes: `torchscript` (the default) or `dynamo`.
    tracer: str | None = None
    default_fixed_batch = 2
    default_fixed_sequence = 8
    default_fixed_num_choices = 4
    torch_onnx_minimum_version = "1.8"

    def __init__(
        self, config: Any, task: str = "default", patching_specs: Iterable[PatchingSpec] | None = None
    ) -> None:
        self._config = config
        self.task = task
        self._patching_specs = [spec.with_original() for spec in patching_specs or ()]
        self._described = self._find_task()

    def _find_task(self) -> tuple[Spec, TaskSpec] | None:
        """Return the spec of the architecture and its task; None where the class itself is all there is."""
        task = resolve_task(self.task)
        task = task if task.endswith(WITH_PAST) or not self.use_past else task + WITH_PAST
        declares_inputs = type(self).inputs is not OnnxConfig.inputs
        try:
            spec = load_spec(self.architecture or find_architecture(self._config.model_type))
            return spec, find_task(spec, task)
        except UsageError:
            if not declares_inputs:
                raise
            return None

    @property
    def model_config(self) -> Any:
        """The transformers config of the model."""
        return self._config

    @property
    def is_custom(self) -> bool:
        """Whether no spec describes the graph, but this class alone."""
        return self._described is None

    @property
    def _known(self) -> tuple[Spec, TaskSpec]:
        if self._described is None:
            raise AssertionError("a graph without a spec is planned on its model")
        return self._described

    @classmethod
    def from_model_config(cls, config: Any, task: str = "default") -> Self:
        """Return the object for a model's config."""
        return cls(config, task=task)

    @property
    def inputs(self) -> Axes:
        """The inputs in order, each with its symbolic dims by axis."""
        return OrderedDict((tensor.name, tensor.dynamic_axes()) for tensor in self._graph.inputs)

    @property
    def outputs(self) -> Axes:
        """The outputs in order, each with its symbolic dims by axis; those of the feature where there is no spec."""
        if self.is_custom:
            return OrderedDict(common_outputs(feature_of(resolve_task(self.task)).removesuffix(WITH_PAST)))
        return OrderedDict((tensor.name, tensor.dynamic_axes()) for tensor in self._graph.outputs)

    @property
    def default_onnx_opset(self) -> int:
        """The opset the earlier system wrote this architecture in, or the lowest one that holds it."""
        return DEFAULT_OPSETS["float32"] if self.is_custom else default_opset(*self._known)

    @property
    def atol_for_validation(self) -> float:
        """The absolute part of the bound that outputs are held to, in their units."""
        return DEFAULT_ATOL if self.is_custom else default_atol(self._known[1])

    @property
    def is_torch_support_available(self) -> bool:
        """Whether the installed PyTorch can export the model: it is the one this package requires."""
        return True

    @property
    def default_batch_size(self) -> int:
        """The number of rows of dummy inputs."""
        return self.default_fixed_batch

    @property
    def default_sequence_length(self) -> int:
        """The length of the texts of dummy inputs."""
        return self.default_fixed_sequence

    @property
    def default_num_choices(self) -> int:
        """The number of choices of dummy inputs."""
        return self.default_fixed_num_choices

    @staticmethod
    def use_external_data_format(num_parameters: int) -> bool:
        """Return whether so many float32 parameters go to a file beside the graph: from 2 GB on."""
        return compute_serialized_parameters_size(num_parameters, ParameterFormat.Float) >= (
            EXTERNAL_DATA_FORMAT_SIZE_LIMIT
        )

    def patch_ops(self) -> None:
        """Put what ``patching_specs`` name in its place."""
        for spec in self._patching_specs:
            spec.apply()

    def restore_ops(self) -> None:
        """Put back what was there before `patch_ops`."""
        for spec in self._patching_specs:
            spec.restore()

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Hold the patches while a graph is recorded."""
        self.patch_ops()
        try:
            yield
        finally:
            self.restore_ops()

    @classmethod
    def flatten_output_collection_property(cls, name: str, field: Iterable[Any]) -> dict[str, Any]:
        """Return the tensors of a nested output by the names they have in a graph.

        >>> OnnxConfig.flatten_output_collection_property("states", [[1, 2], [3]])
        {'states.0': 1, 'states.1': 2, 'states.2': 3}
        """
        return {f"{name}.{index}": each for index, each in enumerate(each for group in field for each in group)}

    @property
    def values_override(self) -> Mapping[str, Any] | None:
        """The values that the model's config has while a graph is recorded."""
        return {"use_cache": self.use_past} if hasattr(self._config, "use_cache") else None

    # The parameters are those of the earlier system, whose scripts pass them by name and by position.
    def generate_dummy_inputs(  # noqa: PLR0913
        self,
        preprocessor: Any = None,
        batch_size: int = -1,
        seq_length: int = -1,
        num_choices: int = -1,
        is_pair: bool = False,
        framework: str | None = None,
        image_width: int = -1,
        image_height: int = -1,
    ) -> dict[str, Any]:
        """Return keyword arguments for the model's ``forward()``, made as the spec says.

        Args:
            preprocessor: not used where there is a spec, which says what each input is. Else it shows how large
                pictures and sounds are.
            batch_size: the size of ``batch``; -1 for the traced one.
            seq_length: the length of every sequence dim but those of the cache, such as ``past_sequence``; -1 for the
                traced ones.
            num_choices: the number of choices; -1 for the traced one.
            is_pair: not used: a graph has the same inputs for one text as for a pair.
            framework: ``pt`` or None for torch tensors as ``forward()`` takes them; ``np`` for numpy arrays, by the
                names of the graph's inputs.
            image_width: the width of images in pixels, where the model takes any width; -1 for the traced one.
            image_height: the height of images in pixels, likewise.

        Raises:
            UsageError: another framework is asked for.
        """
        sizes = {
            "batch": batch_size,
            "sequence": seq_length,
            "choices": num_choices,
            "width": image_width,
            "height": image_height,
        }
        if self.is_custom:
            return self._stand_ins(preprocessor, sizes, framework)
        plan = self._plan_spec()
        dims = {
            dim: sizes[kind]
            for dim in _open_dims(plan)
            if not dim.startswith("past_") and sizes.get(kind := dim.rpartition("_")[2], -1) > 0
        }
        plan = self._plan_spec(dims=dims)
        graph = choose_tensors(plan.graphs[0], self.inputs, self.outputs)
        arrays = make_dummies(graph, plan.sizes.trace, plan.sizes.seed)
        if is_numpy(framework):
            return dict(arrays)
        from exporter.models.arrays import to_torch
        from exporter.models.flat_model import pack_arguments

        return pack_arguments(graph, tuple(map(to_torch, arrays.values())))

    def _stand_ins(self, preprocessor: Any, sizes: Mapping[str, int], framework: str | None) -> dict[str, Any]:
        """Return the inputs that the class declares but for the cache, which `OnnxConfigWithPast` adds."""
        lengths = {
            label: sizes[kind]
            for axes in self.inputs.values()
            for label in axes.values()
            if "+" not in label
            and not label.startswith("past_")
            and sizes.get(kind := label.rpartition("_")[2], -1) > 0
        }
        past = {
            term: 0
            for axes in self.inputs.values()
            for label in axes.values()
            for term in label.split(" + ")
            if term.startswith("past_")
        }
        arrays = make_stand_ins(self.inputs, self._config, preprocessor, {**past, **lengths})
        if is_numpy(framework):
            return dict(arrays)
        from exporter.models.arrays import to_torch

        return {name: to_torch(array) for name, array in arrays.items()}

    def generate_dummy_inputs_onnxruntime(self, reference_model_inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs of the graph by name for keyword arguments of ``forward()``."""
        from exporter.models.flat_model import unpack_tensors

        if self.is_custom:
            arrays = flatten_stand_ins(reference_model_inputs)
            return {name: arrays[name] for name in self.inputs}
        arguments = unpack_tensors(reference_model_inputs)
        graph = choose_tensors(self._graph, self.inputs, self.outputs)
        return {tensor.name: arguments[".".join(map(str, tensor.path))].numpy() for tensor in graph.inputs}

    def plan(self, config: Any = None, **options: Any) -> Plan:
        """Return the plan of the graph, with the inputs and outputs that a subclass declares.

        Args:
            config: the config of the model to plan for. Default: the object's own.
            options: fields of `exporter.planning.Options`.

        Raises:
            UsageError: the opset or dtype cannot be had, or a subclass declares what the spec does not have.
        """
        if type(self).generate_dummy_inputs.__module__ != __name__:
            warnings.warn(
                f"generate_dummy_inputs of {type(self).__name__} is not called: inputs are made as the spec says",
                stacklevel=2,
            )
        plan = self._plan_spec(config, **options)
        names, closed = name_dims(plan, self.inputs, self.outputs), closed_dims(plan, self.inputs)
        if closed:
            plan = self._plan_spec(config, **{**options, "dims": {**closed, **options.get("dims", {})}})
        graph = choose_tensors(plan.graphs[0], self.inputs, self.outputs)
        return replace(plan, graphs=(graph,)).renamed(names)

    def _plan_spec(self, config: Any = None, **options: Any) -> Plan:
        spec, task = self._known
        filled = fill_options(Options(**options), spec, task)
        choice = choose_task(spec, task, replace(filled, monolith=task.monolith is not None))
        plan = plan_task(choice, config or self._config, is_reference=False)
        if len(plan.graphs) > 1:
            files = ", ".join(graph.file for graph in plan.graphs)
            raise UsageError(
                f"{plan.model.architecture} {plan.task} is several graphs ({files}), and an OnnxConfig describes one",
                help=f"build them with exporter.build(model=…, task='{plan.task}')",
            )
        return plan

    @property
    def _graph(self) -> GraphPlan:
        return self._plan_spec().graphs[0]


def is_numpy(framework: str | None) -> bool:
    """Tell whether inputs are asked for as numpy arrays, and not as torch tensors.

    Raises:
        UsageError: they are asked for as something else.
    """
    if framework not in (None, "pt", "np"):
        raise UsageError(f"dummy inputs cannot be made for '{framework}'", help="ask for 'pt' or 'np'")
    return framework == "np"


def _open_dims(plan: Plan) -> list[str]:
    """Return the dims that an input leaves open."""
    return list(dict.fromkeys(dim for tensor in plan.graphs[0].inputs for dim in tensor.dims()))


def find_architecture(model_type: str) -> str:
    """Return the architecture that a model type means: ``my-model`` and ``my_model`` are one.

    The earlier system joined the words of every model type by ``-``, and transformers joins those of some by ``_``.

    Raises:
        UsageError: there is no spec for the architecture.
    """
    known = [path.stem for path in list_specs()]
    joined = model_type.lower().replace("_", "-")
    architecture = next((name for name in known if name.replace("_", "-") == joined), None)
    if architecture is None:
        hint = did_you_mean(model_type, known) or (
            "describe it in a spec (docs/adding-a-model.md), or in a class with inputs of its own (docs/migrating.md)"
        )
        raise UsageError(f"there is no spec for the architecture '{model_type}'", help=hint)
    return architecture


class OnnxConfigWithPast(OnnxConfig):
    """An `OnnxConfig` of a model that continues from a cache where ``use_past`` is true."""

    def __init__(
        self,
        config: Any,
        task: str = "default",
        patching_specs: Iterable[PatchingSpec] | None = None,
        use_past: bool = False,
    ) -> None:
        self.use_past = use_past or task.endswith(WITH_PAST)
        super().__init__(config, task=task, patching_specs=patching_specs)

    @classmethod
    def with_past(cls, config: Any, task: str = "default") -> Self:
        """Return the object for a model's config with ``use_past``."""
        return cls(config, task=task, use_past=True)

    @property
    def outputs(self) -> Axes:
        """The outputs in order, each with its symbolic dims by axis."""
        outputs = dict(super().outputs)
        if self.is_custom and self.use_past:
            self.fill_with_past_key_values_(outputs, direction="outputs")
        return OrderedDict(outputs)

    @property
    def num_layers(self) -> Any:
        """The number of layers that have a cache. Override it where the config calls it otherwise.

        Raises:
            UsageError: the config does not say.
        """
        return self._count("num_layers", "num_hidden_layers", "n_layer")

    @property
    def num_attention_heads(self) -> Any:
        """The number of heads of attention. Override it where the config calls it otherwise.

        Raises:
            UsageError: the config does not say.
        """
        return self._count("num_attention_heads", "num_heads", "n_head")

    def _count(self, *keys: str) -> int:
        counts = (find_value(self._config, key) for key in keys)
        count = next((count for count in counts if isinstance(count, int)), None)
        if count is None:
            raise UsageError(
                f"the config of '{self._config.model_type}' has no {keys[0]}",
                help=f"override the property {keys[0]} of {type(self).__name__}",
            )
        return count

    def fill_with_past_key_values_(
        self, inputs_or_outputs: dict[str, Any], direction: str, inverted_values_shape: bool = False
    ) -> None:
        """Add the tensors of the cache to a mapping of tensors to their axes.

        Args:
            inputs_or_outputs: the mapping.
            direction: ``inputs`` for the cache that is read, ``outputs`` for the one that is written.
            inverted_values_shape: the values have their length on axis 1. Not used where there is a spec.

        Raises:
            UsageError: the direction is another word.
        """
        if direction not in ("inputs", "outputs"):
            raise UsageError(f"the direction '{direction}' is neither 'inputs' nor 'outputs'")
        if self.is_custom:
            inputs_or_outputs.update(self._cache_axes(direction, inverted_values_shape))
            return
        tensors = self._graph.inputs if direction == "inputs" else self._graph.outputs
        inputs_or_outputs.update(
            {tensor.name: tensor.dynamic_axes() for tensor in tensors if tensor.path and tensor.path[0] == CACHE}
        )

    def _cache_axes(self, direction: str, inverted: bool) -> dict[str, dict[int, str]]:
        name, length = {
            "inputs": (CACHE, "past_sequence"),
            "outputs": ("present", "past_sequence + sequence"),
        }[direction]
        return {
            f"{name}.{layer}.{part}": {0: "batch", 1 if inverted and part == "value" else 2: length}
            for layer in range(self.num_layers)
            for part in ("key", "value")
        }

    def _cache_sizes(self) -> tuple[int, int]:
        """Return how many heads a cache has, and how wide each is."""
        heads, width = self.num_attention_heads, find_value(self._config, "head_dim")
        kept = find_value(self._config, "num_key_value_heads")
        return kept or heads, width or find_value(self._config, "hidden_size") // heads

    def generate_dummy_inputs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return keyword arguments for the model's ``forward()``, with a cache where ``use_past`` is true.

        The arguments are those of `OnnxConfig.generate_dummy_inputs`.
        """
        made = super().generate_dummy_inputs(*args, **kwargs)
        if not (self.is_custom and self.use_past):
            return made
        import numpy as np
        import torch

        inputs = {name: torch.as_tensor(value) for name, value in made.items()}
        for name, axes in self.inputs.items():
            for index, label in axes.items() if name in inputs else ():
                for past in (term for term in label.split(" + ")[:-1] if term.startswith("past_")):
                    shape = list(inputs[name].shape)
                    shape[index] = default_length(past)
                    inputs[name] = torch.cat([torch.ones(shape, dtype=inputs[name].dtype), inputs[name]], dim=index)
        layers = self._make_cache(next(iter(inputs.values())).shape[0])
        full = {**inputs, CACHE: layers} if layers else inputs
        return dict(flatten_stand_ins(full)) if any(isinstance(value, np.ndarray) for value in made.values()) else full

    def _make_cache(self, batch: int) -> list[tuple[Any, ...]]:
        """Return zeros for each layer of the declared cache."""
        import torch

        layers: dict[int, list[Any]] = {}
        for name, axes in self.inputs.items():
            if name.startswith(f"{CACHE}."):
                shape = cache_shape(name, axes, self._cache_sizes(), {"batch": batch})
                layers.setdefault(int(name.split(".")[1]), []).append(torch.zeros(shape))
        return [tuple(layers[layer]) for layer in sorted(layers)]

    # As in the earlier system, this is a method of an object here, and of a class in `OnnxConfig`.
    def flatten_output_collection_property(self, name: str, field: Iterable[Any]) -> dict[str, Any]:  # type: ignore[override]
        """Return the tensors of a nested output by the names they have in a graph, such as ``present.0.key``."""
        if name not in ("present", CACHE):
            return super().flatten_output_collection_property(name, field)
        return flatten_cache(name, field)


class OnnxSeq2SeqConfigWithPast(OnnxConfigWithPast):
    """An `OnnxConfigWithPast` of a model with an encoder and a decoder."""

    @property
    def outputs(self) -> Axes:
        """The outputs in order, each with its symbolic dims by axis: ``encoder_sequence`` or ``decoder_sequence``."""
        outputs = super().outputs
        if not self.is_custom:
            return outputs
        return OrderedDict(
            (name, axes if "." in name else {axis: _side_of(name, label) for axis, label in axes.items()})
            for name, axes in outputs.items()
        )

    @property
    def num_layers(self) -> tuple[int, int]:
        """The numbers of layers of the encoder and of the decoder. Override it where the config calls them otherwise.

        Raises:
            UsageError: the config does not say.
        """
        return self._pair("layers", super().num_layers)

    @property
    def num_attention_heads(self) -> tuple[int, int]:
        """The numbers of heads of the encoder and of the decoder. Override it where the config calls them otherwise.

        Raises:
            UsageError: the config does not say.
        """
        return self._pair("attention_heads", super().num_attention_heads)

    def _pair(self, key: str, default: int) -> tuple[int, int]:
        encoder, decoder = (getattr(self._config, f"{side}_{key}", None) for side in ("encoder", "decoder"))
        return encoder or default, decoder or default

    def _cache_axes(self, direction: str, inverted: bool) -> dict[str, dict[int, str]]:
        name, new = (CACHE, "") if direction == "inputs" else ("present", " + decoder_sequence")
        # Keys of the encoder's states are as many as those, so the axis has their name.
        lengths = {"decoder": f"past_decoder_sequence{new}", "encoder": "encoder_sequence"}
        return {
            f"{name}.{layer}.{side}.{part}": {0: "batch", 2: lengths[side]}
            for layer in range(self.num_layers[1])
            for side in ("decoder", "encoder")
            for part in ("key", "value")
        }

    def _cache_sizes(self) -> tuple[int, int]:
        heads = self.num_attention_heads[1]
        return heads, find_value(self._config, "d_kv") or find_value(self._config, "hidden_size") // heads


def _side_of(name: str, label: str) -> str:
    if "sequence" not in label:
        return label
    return "encoder_sequence" if "encoder" in name else "decoder_sequence"


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)

"""``OnnxConfig`` objects: the inputs and outputs of a graph for a transformers config, as the spec has them.

A subclass may override ``inputs`` and ``outputs`` to choose the tensors, their order, the axes that stay open, and the
names of those axes.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from exporter.building.request import choose_task
from exporter.errors import UsageError, did_you_mean
from exporter.language.catalog import list_specs, resolve_task
from exporter.language.loading import load_spec
from exporter.language.spec import WITH_PAST
from exporter.onnx.boundary import choose_tensors, closed_dims, name_dims
from exporter.onnx.defaults import default_atol, default_opset, fill_options
from exporter.planning.dummies import make_dummies
from exporter.planning.options import Options
from exporter.planning.plan import GraphPlan, Plan
from exporter.planning.planner import find_task, plan_task

Axes = Mapping[str, Mapping[int, str]]


class OnnxConfig:
    """The inputs and outputs of one graph of a model.

    Args:
        config: the transformers config of the model.
        task: a feature name or a task.
        patching_specs: must be left out: a spec names the patches its tracing needs.

    Raises:
        UsageError: there is no spec for the architecture, or it does not have the task.
    """

    architecture: str | None = None
    use_past = False

    def __init__(self, config: Any, task: str = "default", patching_specs: None = None) -> None:
        if patching_specs:
            raise UsageError(
                "patching_specs cannot be given", help="name the patch under 'patches:' of the spec, with its reason"
            )
        self._config = config
        self.task = task
        self._spec = load_spec(self.architecture or find_architecture(config.model_type))
        resolved = resolve_task(task)
        self._task = find_task(
            self._spec, resolved if resolved.endswith(WITH_PAST) or not self.use_past else resolved + WITH_PAST
        )

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
        """The outputs in order, each with its symbolic dims by axis."""
        return OrderedDict((tensor.name, tensor.dynamic_axes()) for tensor in self._graph.outputs)

    @property
    def default_onnx_opset(self) -> int:
        """The opset the earlier system wrote this architecture in, or the lowest one that holds it."""
        return default_opset(self._spec, self._task)

    @property
    def atol_for_validation(self) -> float:
        """The absolute part of the bound that outputs are held to, in their units."""
        return default_atol(self._task)

    @property
    def is_torch_support_available(self) -> bool:
        """Whether the installed PyTorch can export the model: it is the one this package requires."""
        return True

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
            preprocessor: not used: the spec says what each input is.
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
        plan = self._plan_spec()
        dims = {
            dim: sizes[kind]
            for dim in _open_dims(plan)
            if not dim.startswith("past_") and sizes.get(kind := dim.rpartition("_")[2], -1) > 0
        }
        plan = self._plan_spec(dims=dims)
        graph = choose_tensors(plan.graphs[0], self.inputs, self.outputs)
        arrays = make_dummies(graph, plan.sizes.trace, plan.sizes.seed)
        if framework == "np":
            return dict(arrays)
        if framework not in (None, "pt"):
            raise UsageError(f"dummy inputs cannot be made for '{framework}'", help="ask for 'pt' or 'np'")
        from exporter.models.arrays import to_torch
        from exporter.models.flat_model import pack_arguments

        return pack_arguments(graph, tuple(map(to_torch, arrays.values())))

    def generate_dummy_inputs_onnxruntime(self, reference_model_inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs of the graph by name for keyword arguments of ``forward()``."""
        from exporter.models.flat_model import unpack_tensors

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
        if type(self).generate_dummy_inputs is not OnnxConfig.generate_dummy_inputs:
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
        filled = fill_options(Options(**options), self._spec, self._task)
        choice = choose_task(self._spec, self._task, replace(filled, monolith=self._task.monolith is not None))
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
        hint = did_you_mean(model_type, known) or "describe it in a spec: docs/adding-a-model.md"
        raise UsageError(f"there is no spec for the architecture '{model_type}'", help=hint)
    return architecture


class OnnxConfigWithPast(OnnxConfig):
    """An `OnnxConfig` of a model that continues from a cache where ``use_past`` is true."""

    def __init__(self, config: Any, task: str = "default", patching_specs: None = None, use_past: bool = False) -> None:
        self.use_past = use_past or task.endswith(WITH_PAST)
        super().__init__(config, task=task, patching_specs=patching_specs)

    @classmethod
    def with_past(cls, config: Any, task: str = "default") -> Self:
        """Return the object for a model's config with ``use_past``."""
        return cls(config, task=task, use_past=True)

    def fill_with_past_key_values_(self, inputs_or_outputs: dict[str, Any], direction: str) -> None:
        """Add the tensors of the cache to a mapping of tensors to their axes.

        Args:
            inputs_or_outputs: the mapping.
            direction: ``inputs`` for the cache that is read, ``outputs`` for the one that is written.

        Raises:
            UsageError: the direction is another word.
        """
        if direction not in ("inputs", "outputs"):
            raise UsageError(f"the direction '{direction}' is neither 'inputs' nor 'outputs'")
        tensors = self._graph.inputs if direction == "inputs" else self._graph.outputs
        inputs_or_outputs.update(
            {
                tensor.name: tensor.dynamic_axes()
                for tensor in tensors
                if tensor.path and tensor.path[0] == "past_key_values"
            }
        )


class OnnxSeq2SeqConfigWithPast(OnnxConfigWithPast):
    """An `OnnxConfigWithPast` of a model with an encoder and a decoder."""

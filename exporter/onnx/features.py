"""``FeaturesManager``: the features of an architecture, and the model and config object for each, from the specs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from exporter.artifacts.claims import scratch_directory
from exporter.building.request import choose_task
from exporter.errors import UsageError, did_you_mean
from exporter.language.catalog import feature_of, load_tasks, resolve_task
from exporter.language.loading import load_spec
from exporter.language.spec import WITH_PAST
from exporter.models.checkpoints import Source, open_checkpoint
from exporter.onnx.config import OnnxConfig, find_architecture
from exporter.onnx.defaults import fill_options
from exporter.onnx.models import describe_architecture
from exporter.planning.instead import missing_attribute, missing_name
from exporter.planning.options import Options
from exporter.planning.planner import find_task, plan_task

Constructor = Callable[[Any], OnnxConfig]

logger = logging.getLogger(__name__)


class _Named(type):
    """Says what to use for an attribute of the earlier system that is not here."""

    def __getattr__(cls, name: str) -> Any:
        raise missing_attribute(cls.__name__, name)


class FeaturesManager(metaclass=_Named):
    """The features of every architecture with a spec, under the method names of the earlier system."""

    AVAILABLE_FEATURES = sorted(
        name for task in load_tasks().values() if not task.pooled for name in (task.feature, task.feature + WITH_PAST)
    )

    @staticmethod
    def get_supported_features_for_model_type(model_type: str, model_name: str | None = None) -> dict[str, Constructor]:
        """Return what makes an `OnnxConfig` from a transformers config, for every feature of an architecture.

        Args:
            model_type: an architecture, with ``-`` or ``_``.
            model_name: not used.

        Raises:
            UsageError: there is no spec for the architecture.
        """
        architecture = find_architecture(model_type)
        described: Any = describe_architecture(architecture)
        return {
            task.feature: partial(described.with_past, task=task.feature.removesuffix(WITH_PAST))
            if task.feature.endswith(WITH_PAST)
            else partial(described.from_model_config, task=task.feature)
            for task in load_spec(architecture).tasks.values()
            if not task.pooled  # a live model has no modules that make embeddings
        }

    @staticmethod
    def get_config(model_type: str, feature: str) -> Constructor:
        """Return what makes the `OnnxConfig` of one feature of an architecture.

        Raises:
            UsageError: there is no spec for the architecture, or it does not have the feature.
        """
        features = FeaturesManager.get_supported_features_for_model_type(model_type)
        constructor = features.get(feature_of(resolve_task(feature)))
        if constructor is None:
            hint = did_you_mean(feature, features, otherwise="its features are")
            raise UsageError(f"the architecture '{model_type}' has no feature '{feature}'", help=hint)
        return constructor

    @staticmethod
    def check_supported_model_or_raise(model: Any, feature: str = "default") -> tuple[str, Constructor]:
        """Return the architecture of a model, and what makes its `OnnxConfig` for a feature.

        Raises:
            UsageError: there is no spec for the architecture, or it does not have the feature.
        """
        architecture = model.config.model_type
        return architecture, FeaturesManager.get_config(architecture, feature)

    @staticmethod
    def feature_to_task(feature: str) -> str:
        """Return a feature without ``-with-past``: ``causal-lm`` for ``causal-lm-with-past``."""
        return feature.removesuffix(WITH_PAST)

    @staticmethod
    def get_model_class_for_feature(feature: str, framework: str = "pt") -> Any:
        """Return the auto class of transformers that loads models for a feature.

        Args:
            feature: a feature or a task.
            framework: ``pt``, or ``tf`` for weights that are converted: the class is PyTorch's.

        Raises:
            UsageError: the word is no feature.
        """
        from exporter.models.configs import find_auto_class

        return find_auto_class(load_tasks()[resolve_task(feature).removesuffix(WITH_PAST)].auto_class)

    @staticmethod
    def determine_framework(model: str, framework: str | None = None) -> str:
        """Return whose weights are taken: those asked for, else a local checkpoint's own, else PyTorch's.

        Raises:
            CheckpointError: the local checkpoint has no weights.
        """
        if framework is not None:
            return framework
        return open_checkpoint(Source(model)).framework if Path(model).is_dir() else "pt"

    @staticmethod
    def get_model_from_feature(
        feature: str, model: str, framework: str | None = None, cache_dir: str | None = None
    ) -> Any:
        """Return the PyTorch model of a checkpoint for a feature, in evaluation mode.

        Weights of other frameworks are converted.

        Args:
            feature: a feature or a task.
            model: a directory or hub id.
            framework: ``pt`` or ``tf``: the weights to take from a checkpoint that has both. Default: PyTorch's.
            cache_dir: where downloads are kept.

        Raises:
            UsageError: there is no spec for the architecture, or it does not have the feature.
            CheckpointError: the checkpoint cannot be loaded as this model.
        """
        from exporter.models.configs import load_config
        from exporter.models.loading import load_model
        from exporter.models.merging import make_loadable

        checkpoint = open_checkpoint(Source(model, framework=framework, cache_dir=cache_dir))
        spec = load_spec(find_architecture(str(checkpoint.read_config().get("model_type"))))
        task = find_task(spec, feature)
        if task.pooled:
            raise UsageError(
                f"the model of '{feature}' is followed by modules that transformers does not have",
                help=f"build it: exporter build --model {model} --task {task.name}",
            )
        config = load_config(checkpoint, task.config)
        plan = plan_task(choose_task(spec, task, fill_options(Options(), spec, task)), config, is_reference=False)
        with scratch_directory() as scratch:
            loaded = load_model(plan, make_loadable(plan, checkpoint, scratch))
        if loaded.missing:
            logger.warning("'%s' has no values for %s: they are random", model, ", ".join(sorted(loaded.missing)))
        for remark in loaded.remarks:
            logger.warning("'%s': %s", model, remark)
        return loaded.model


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)

"""The plan of a live model, which was never saved as a checkpoint, and a twin of it.

The caller's model stays as it is, because it is the twin that is put into evaluation mode, recorded and compared with.
"""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

from exporter.errors import UsageError
from exporter.models.configs import quiet_libraries
from exporter.onnx.config import OnnxConfig
from exporter.onnx.custom import plan_custom
from exporter.planning.options import Options
from exporter.planning.plan import Plan


def plan_model(config: OnnxConfig, model: Any, preprocessor: Any = None, **options: Any) -> Plan:
    """Return the plan of a live model's graph.

    Args:
        config: what the graph looks like.
        model: a transformers model. The plan is made for its config and its dtype.
        preprocessor: its tokenizer or processor, for a graph that no spec describes.
        options: fields of `exporter.planning.Options`.

    Raises:
        UsageError: the model is not on the CPU, or was made for another task.
    """
    devices = {str(tensor.device) for tensor in chain(model.parameters(), model.buffers())} - {"cpu"}
    if devices:
        raise UsageError(
            f"the model is on {', '.join(sorted(devices))}", help="graphs are recorded on the CPU: model.to('cpu')"
        )
    dtype = str(model.dtype).removeprefix("torch.")
    if config.is_custom:
        return plan_custom(config, twin_model(config, model), preprocessor, Options(dtype=dtype, **options))
    plan = config.plan(model.config, dtype=dtype, **options)
    for key, value in plan.model.config.items():
        if getattr(model.config, key, None) != value:
            raise UsageError(
                f"the model was made with {key}={getattr(model.config, key, None)!r}, and {plan.task} needs {value!r}",
                help=f"from_pretrained(…, {key}={value!r})",
            )
    return plan


def twin_model(config: OnnxConfig, model: Any, attention: str | None = None) -> Any:
    """Return a copy of a model in evaluation mode that shares its weights, with the values that ``config`` overrides.

    Args:
        config: what the graph looks like; its ``values_override`` are set in the config of the copy.
        model: the model, which stays as it is.
        attention: the attention implementation of the copy, such as ``eager``; None for the model's own.
    """
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    twin = copy.deepcopy(model, shared).eval()
    for key, value in (config.values_override or {}).items():
        setattr(twin.config, key, value)
    if attention is not None:
        with quiet_libraries():
            twin.set_attn_implementation(attention)
    return twin

"""The dims of a spec on a concrete config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exporter.errors import did_you_mean
from exporter.language.diagnostics import SpecError
from exporter.language.expressions import ExpressionError, ProcessorValues, evaluate_expression
from exporter.language.findings import CIRCULAR_DIM, MALFORMED_EXPRESSION, UNKNOWN_CONFIG_KEY, UNKNOWN_DIM
from exporter.language.spec import DerivedDim, Expression, Spec, StaticDim
from exporter.language.text import Span


class Sizes:
    """The dims of a spec on a concrete config, and beside a processor, each evaluated when first asked for."""

    def __init__(self, spec: Spec, config: Any, processor: ProcessorValues | None = None) -> None:
        self.spec = spec
        self.config = config
        self.processor = processor
        self.known: dict[str, int] = {}
        # The dims that are being evaluated, outermost first: one that asks for itself goes in a circle.
        self._evaluating: list[str] = []

    def static(self, name: str, span: Span) -> int:
        """Return the size of a static dim.

        Args:
            name: the dim.
            span: the place in the spec that names the dim, to show where there is no such dim.

        Raises:
            SpecError: there is no such dim, it is dynamic, or its expression does not give a size on this config.
        """
        if name in self.known:
            return self.known[name]
        dim = self.spec.dims.get(name)
        if not isinstance(dim, StaticDim):
            reason = f"the dim '{name}' is dynamic and has no one size" if dim else f"unknown dim '{name}'"
            raise SpecError([UNKNOWN_DIM.at(reason, span, help=did_you_mean(name, self.spec.dims))])
        if name in self._evaluating:
            circle = " → ".join([*self._evaluating[self._evaluating.index(name) :], name])
            raise SpecError([CIRCULAR_DIM.at(f"the dims go in a circle: {circle}", dim.span)])
        self._evaluating.append(name)
        value = dim.value if isinstance(dim.value, int) else self._integer(dim.value, name)
        self._evaluating.pop()
        self.known[name] = value
        return value

    def derived(self, dim: DerivedDim, dynamic: Mapping[str, int]) -> int:
        """Return the size of a derived dim where the dims it follows from have the sizes of ``dynamic``.

        Raises:
            SpecError: its expression does not give a size.
        """
        return self._integer(dim.value, dim.name, dynamic)

    def holds(self, expression: Expression) -> bool:
        """Return whether a condition is true of the config.

        Raises:
            SpecError: the condition names a key that the config lacks.
        """
        return bool(self._evaluate(expression))

    def _integer(self, expression: Expression, name: str, dynamic: Mapping[str, int] | None = None) -> int:
        value = self._evaluate(expression, dynamic)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            shown = f"{value!r:.60}"
            finding = MALFORMED_EXPRESSION.at(
                f"the dim '{name}' is {shown} on this config, not a size",
                expression.span,
                help="an expression gives a whole number; divide with '//'",
            )
            raise SpecError([finding])
        return value

    def _evaluate(self, expression: Expression, dynamic: Mapping[str, int] | None = None) -> Any:
        try:
            known = _Lookup(self, expression.span, dynamic or {})
            return evaluate_expression(expression.text, self.config, known, self.processor)
        except ExpressionError as error:
            span = expression.span.within(error.start, error.end)
            raise SpecError([UNKNOWN_CONFIG_KEY.at(error.message, span, help=error.help)]) from None


class _Lookup(dict[str, int]):
    """The dims an expression may name, as a mapping that evaluates the static ones on demand."""

    def __init__(self, sizes: Sizes, span: Span, dynamic: Mapping[str, int]) -> None:
        names = [name for name, dim in sizes.spec.dims.items() if isinstance(dim, StaticDim)]
        super().__init__(dict.fromkeys((*names, *dynamic), 0))
        self.sizes, self.span, self.dynamic = sizes, span, dynamic

    def __getitem__(self, name: str) -> int:
        return self.dynamic[name] if name in self.dynamic else self.sizes.static(name, self.span)

"""The rules there are, each declared once: its code, its name, how much it matters, and where its page is.

Who finds something says which rule it is of: ``UNKNOWN_TASK.at(message, span, help)``. The stages before the rules find
most of what makes a document unusable (`document`, `schema`, `composing`, `reading`, `planning.sizes`); what is looked
for in a composed spec is a check in `rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exporter.language.diagnostics import Diagnostic, Fix, Severity
from exporter.language.effort import spend
from exporter.language.text import Span

_PAGES = Path(__file__).with_name("rules") / "pages"
_MAX_MESSAGE = 4_000


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be wrong with a document.

    Attributes:
        code: ``EXP202``. The first digit is the group.
        name: ``unknown-task``.
        severity: how much its findings matter, whatever its name and code.
        needs_models: it is looked for only where ``lint --models`` builds the references.
        suppressible: a comment with a reason may say that a finding is meant.
    """

    code: str
    name: str
    severity: Severity = Severity.ERROR
    needs_models: bool = False
    suppressible: bool = True

    @property
    def page(self) -> str:
        """What ``exporter explain`` prints, as Markdown: what the rule says, why, an example and what to write."""
        return (_PAGES / f"{self.name}.md").read_text("utf-8").rstrip("\n")

    def at(self, message: str, span: Span, help: str | None = None, fix: Fix | None = None) -> Diagnostic:
        """Return a finding of this rule.

        Args:
            message: what is wrong.
            span: where.
            help: what to write instead.
            fix: a change of the text that removes the finding.
        """
        # Names are as long as a stranger likes, and a finding repeats them.
        spend(5 + len(message) // 40)
        return Diagnostic(self.name, _cut(message), span, self.severity, help=_cut(help) if help else help, fix=fix)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}…"


RULES: dict[str, Rule] = {}


def declare(
    code: str, name: str, *, severity: Severity = Severity.ERROR, needs_models: bool = False, suppressible: bool = True
) -> Rule:
    """Return a new rule, which `RULES` has by its name from then on."""
    RULES[name] = Rule(code, name, severity, needs_models, suppressible)
    return RULES[name]


# EXP0: the text as YAML.
YAML_SYNTAX = declare("EXP001", "yaml-syntax", suppressible=False)
DUPLICATE_KEY = declare("EXP002", "duplicate-key", suppressible=False)
FORBIDDEN_YAML = declare("EXP003", "forbidden-yaml", suppressible=False)

# EXP1: the document against its schema.
UNKNOWN_KEY = declare("EXP101", "unknown-key")
MISSING_KEY = declare("EXP102", "missing-key")
WRONG_TYPE = declare("EXP103", "wrong-type")
WRONG_VALUE = declare("EXP104", "wrong-value")
TOO_LARGE = declare("EXP105", "too-large", suppressible=False)

# EXP2: names that point at something else.
UNKNOWN_FAMILY = declare("EXP201", "unknown-family")
UNKNOWN_TASK = declare("EXP202", "unknown-task")
UNKNOWN_DIM = declare("EXP203", "unknown-dim")
FILE_NAME_MISMATCH = declare("EXP204", "file-name-mismatch", severity=Severity.WARNING)
DUPLICATE_ARCHITECTURE = declare("EXP205", "duplicate-architecture")
UNKNOWN_COMPONENT = declare("EXP206", "unknown-component")

# EXP3: tensor lines, sizes and fills.
MALFORMED_TENSOR = declare("EXP301", "malformed-tensor")
MALFORMED_EXPRESSION = declare("EXP302", "malformed-expression")
TRACE_SIZE_TOO_SMALL = declare("EXP303", "trace-size-too-small")
TRACE_SIZES_COLLIDE = declare("EXP304", "trace-sizes-collide")
CHECK_EQUALS_TRACE = declare("EXP305", "check-equals-trace")
FILL_DTYPE_MISMATCH = declare("EXP306", "fill-dtype-mismatch")
NO_BATCH_AXIS = declare("EXP307", "no-batch-axis")
FIXED_FLOAT = declare("EXP308", "fixed-float")
WIDTH_BEFORE_HEIGHT = declare("EXP309", "width-before-height")
FILL_SHAPE_MISMATCH = declare("EXP310", "fill-shape-mismatch")
CIRCULAR_DIM = declare("EXP311", "circular-dim")

# EXP4: what composing gives, and caches.
NAME_COLLISION = declare("EXP401", "name-collision")
CACHE_LENGTH_MISMATCH = declare("EXP402", "cache-length-mismatch")
REMOVES_NOTHING = declare("EXP403", "removes-nothing")
UNUSED_DIM = declare("EXP404", "unused-dim", severity=Severity.WARNING)
REDUNDANT_OVERRIDE = declare("EXP405", "redundant-override", severity=Severity.WARNING)
WITH_PAST_WITHOUT_CACHE = declare("EXP406", "with-past-without-cache")
EMPTY_GRAPH = declare("EXP407", "empty-graph")
NO_TASK = declare("EXP408", "no-task")

# EXP5: tolerances, and the reference that has to tell dims apart.
LOOSE_TOLERANCE = declare("EXP501", "loose-tolerance")
AMBIGUOUS_REFERENCE = declare("EXP502", "ambiguous-reference")
UNTESTED_OVERRIDE = declare("EXP503", "untested-override")

# EXP6: against transformers, where `lint --models` builds each reference.
UNKNOWN_CONFIG_KEY = declare("EXP601", "unknown-config-key", needs_models=True)
UNKNOWN_ARGUMENT = declare("EXP602", "unknown-argument", needs_models=True)
NO_AUTO_CLASS = declare("EXP603", "no-auto-class", needs_models=True)
REFERENCE_DOES_NOT_BUILD = declare("EXP604", "reference-does-not-build", needs_models=True)
SHAPE_DISAGREES = declare("EXP605", "shape-disagrees", needs_models=True)
UNDECLARED_OUTPUT = declare("EXP606", "undeclared-output", needs_models=True)
MISSING_OUTPUT = declare("EXP607", "missing-output", needs_models=True)
NOT_PROVED = declare("EXP608", "not-proved", needs_models=True)

# EXP7: how a document is written.
MISSING_SCHEMA_LINE = declare("EXP701", "missing-schema-line", severity=Severity.WARNING)

# EXP9: suppressions, rules that crash, and what was left out of a listing or of linting.
UNUSED_SUPPRESSION = declare("EXP901", "unused-suppression", severity=Severity.WARNING, suppressible=False)
SUPPRESSION_WITHOUT_REASON = declare(
    "EXP902", "suppression-without-reason", severity=Severity.WARNING, suppressible=False
)
UNKNOWN_SUPPRESSION = declare("EXP903", "unknown-suppression", severity=Severity.WARNING, suppressible=False)
RULE_CRASHED = declare("EXP904", "rule-crashed", suppressible=False)
TOO_MANY_FINDINGS = declare("EXP905", "too-many-findings", severity=Severity.WARNING, suppressible=False)
TOO_MUCH_WORK = declare("EXP906", "too-much-work", suppressible=False)

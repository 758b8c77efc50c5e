"""Draft a spec: find what the model is like, choose the family that fits it best, prove the draft, and write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from exporter.drafting.choosing import Ask, candidates, choose_fit, fit_family, offered_tasks
from exporter.drafting.draft import Draft
from exporter.drafting.fitting import Fit
from exporter.drafting.kin import all_kin
from exporter.drafting.proving import Proof, build_draft, disproved_tasks, lint_draft
from exporter.drafting.subject import Subject, find_subject
from exporter.drafting.varying import add_variants
from exporter.drafting.writing import write_spec
from exporter.errors import UsageError, did_you_mean
from exporter.language.catalog import family_names, resolve_task
from exporter.language.diagnostics import Diagnostic
from exporter.language.spec import DEFAULT_TRACER, TRACERS
from exporter.models.architectures import one_thread
from exporter.models.checkpoints import Source

# Bounds above these need a reason in a spec, which a measurement is.
_CEILING = 1e-4


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    Attributes:
        architecture: the architecture; None for that of the checkpoint.
        source: a checkpoint whose config says the architecture, or None.
        tasks: tasks that the spec is to have; none for all that fit.
        family: the family it is to extend; None for the one that fits best.
        variants: look for switches of the config that can be turned over.
        build: build the references and measure them.
    """

    architecture: str | None = None
    source: Source | None = None
    tasks: tuple[str, ...] = ()
    family: str | None = None
    variants: bool = True
    build: bool = True


@dataclass(frozen=True, slots=True)
class Drafted:
    """A spec that was drafted.

    Attributes:
        text: the spec.
        draft: what it says.
        left_out: tasks that the model has a class for and the spec does not have, with the reasons.
        findings: what the linter finds in it.
        proofs: how the builds of its references went; empty where nothing was built.
    """

    text: str
    draft: Draft
    left_out: dict[str, str]
    findings: tuple[Diagnostic, ...]
    proofs: tuple[Proof, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was found, and every task that was built passed."""
        return not self.findings and all(proof.tracer is not None for proof in self.proofs)


def draft_spec(wish: Wish, ask: Ask, progress: Callable[[str], None] = lambda _: None) -> Drafted:
    """Return a spec of an architecture, drafted from its model.

    Args:
        wish: what is asked for.
        ask: decides where the model does not: given a question, the choices and the option that answers it.
        progress: told what is being done.

    Raises:
        UsageError: transformers has no such architecture, no family fits it, or an option does not.
        CheckpointError: the checkpoint cannot be opened, or its config not be read.
    """
    subject = find_subject(wish.architecture, wish.source)
    with one_thread():
        fitted = _fit(subject, wish, ask, progress)
        draft, left_out = fitted.draft, dict(fitted.left_out)
        for task, reason in disproved_tasks(draft, progress).items():
            draft.leave_out(task)
            left_out[task] = reason
        if draft.tasks and wish.variants:
            add_variants(draft, subject, progress)
    if not draft.tasks:
        task, reason = next(iter(left_out.items()))
        raise UsageError(f"no task of '{subject.architecture}' can be drafted: {task}: {reason}")
    _remark(fitted, left_out)
    proofs = tuple(build_draft(draft, _tracers(), progress)) if wish.build else ()
    for proof in proofs:
        record_proof(draft, proof)
    return Drafted(write_spec(draft), draft, left_out, tuple(lint_draft(draft)), proofs)


def _tracers() -> tuple[str, ...]:
    return (DEFAULT_TRACER, *(tracer for tracer in TRACERS if tracer != DEFAULT_TRACER))


def _fit(subject: Subject, wish: Wish, ask: Ask, progress: Callable[[str], None]) -> Fit:
    kin = all_kin(subject.architecture)
    if wish.family is not None:
        families = [each for each in kin if each.name == wish.family]
        if not families:
            hint = did_you_mean(wish.family, family_names(), otherwise="the families are")
            raise UsageError(f"there is no family '{wish.family}'", help=hint)
    else:
        families = candidates(subject, kin)
    fits = {}
    for each in families:
        fitted = fit_family(subject, each, offered_tasks(subject, each), progress)
        if fitted is not None:
            fits[each.name] = fitted
    chosen = choose_fit(subject, fits, ask)
    asked = [resolve_task(word) for text in wish.tasks for word in text.split(",")]
    if not asked:
        return chosen
    # What only other tasks need is no part of the spec.
    family = next(each for each in families if each.name == chosen.draft.family)
    tasks = [task for task in offered_tasks(subject, family) if task in asked]
    missing = [task for task in asked if task not in tasks]
    if missing:
        raise UsageError(
            f"'{family.name}' has no '{missing[0]}' of '{subject.architecture}'",
            help=did_you_mean(missing[0], offered_tasks(subject, family), otherwise="it has"),
        )
    return fit_family(subject, family, tasks, progress) or chosen


def _remark(fitted: Fit, left_out: dict[str, str]) -> None:
    draft = fitted.draft
    for dim, others in fitted.guessed.items():
        if draft.has(("dims", dim)):
            rest = f"; so do {', '.join(others[:2])}" if others else ""
            draft.remarks[("dims", dim)] = f"Matched by size: it gives what the model was measured to have{rest}."
    draft.remarks[()] = "Drafted from the model and not read by anybody yet."
    if left_out:
        lines = [f"{task} ({reason.partition(chr(10))[0]:.160})" for task, reason in left_out.items()]
        draft.remarks[("tasks",)] = f"Left out, since they did not fit: {'; '.join(lines)}."


def record_proof(draft: Draft, proof: Proof) -> None:
    """Put the tracer that could build a task, and the bound that it needs, into the draft."""
    measured, at = proof.measurement, ("tasks", proof.task)
    if proof.tracer is None:
        draft.remarks[at] = f"Does not build yet: {(measured.error or '').partition(chr(10))[0]:.200}"
        return
    if proof.tracer != DEFAULT_TRACER:
        draft.put((*at, "tracer"), {"use": proof.tracer, "because": f"{DEFAULT_TRACER} does not build it"})
    if measured.verdict == "too tight":
        bound: dict[str, Any] = {"atol": measured.suggested, "rtol": measured.suggested}
        if measured.suggested > _CEILING:
            bound["because"] = f"values reach {measured.magnitude:.2g} and differ by up to {measured.difference:.1e}"
        draft.put((*at, "tolerances"), {"float32": bound})

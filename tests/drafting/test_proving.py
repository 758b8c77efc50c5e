from __future__ import annotations

from exporter.drafting.draft import Draft
from exporter.drafting.proving import build_draft, disproved_tasks, lint_draft

REFERENCE = {
    "config": {
        "dim": 32,
        "n_layers": 1,
        "n_heads": 4,
        "hidden_dim": 37,
        "max_position_embeddings": 64,
        "vocab_size": 99,
        "num_labels": 7,
    }
}


def draft(tasks: dict[str, object]) -> Draft:
    return Draft("distilbert", "encoder", {"tasks": tasks, "reference": REFERENCE})


def test_a_good_draft_has_no_findings():
    good = draft({"fill-mask": {}})
    assert lint_draft(good) == []
    assert disproved_tasks(good, lambda _: None) == {}


def test_findings_are_those_of_the_linter():
    (finding,) = lint_draft(draft({"fill-mask": {"outputs": {"logits": "float[batch, nothing]"}}}))
    assert finding.rule == "unknown-dim"


def test_a_task_that_disagrees_with_its_model_is_named_alone():
    wrong = draft({"fill-mask": {}, "text-classification": {"outputs": {"logits": "float[batch, hidden]"}}})
    assert list(disproved_tasks(wrong, lambda _: None)) == ["text-classification"]


def test_what_one_tracer_does_not_build_is_tried_with_the_next():
    refused = {"refused": {"torchscript": "the exporter lacks an operator"}}
    refused["tracer"] = {"use": "dynamo", "because": "the other exporter lacks an operator"}
    proofs = list(build_draft(draft({"text-classification": refused}), ("torchscript",), lambda _: None))
    assert [proof.tracer for proof in proofs] == [None]
    assert "lacks an operator" in (proofs[0].measurement.error or "")

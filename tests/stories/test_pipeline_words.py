"""Every task that transformers has a pipeline for is a word that is known: understood, near, or elsewhere."""

from __future__ import annotations

import pytest
from transformers.pipelines import SUPPORTED_TASKS, TASK_ALIASES

from exporter.language.catalog import load_tasks, suggest_task, task_of_word
from exporter.nearness import is_elsewhere

# Pipelines whose models are near those of a task and compute something else.
NEAR = {"document-question-answering": "question-answering", "image-text-to-text": "image-to-text"}


@pytest.mark.parametrize("word", sorted({*SUPPORTED_TASKS, *TASK_ALIASES, *NEAR}))
def test_a_pipelines_task_is_understood_or_known(word: str):
    task = task_of_word(word)
    if task is not None:
        assert task in load_tasks()
        return
    said = suggest_task(word, load_tasks(), otherwise="the tasks are") or ""
    if word in NEAR:
        assert said == f"did you mean '{NEAR[word]}'?"
    else:
        # Known and none of ours: no task with similar letters is suggested.
        assert is_elsewhere(word, "tasks")
        assert said.startswith("the tasks are: ")


def test_an_alias_means_what_its_task_does():
    for alias, task in TASK_ALIASES.items():
        assert task_of_word(alias) == task_of_word(task)

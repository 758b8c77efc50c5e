"""Dtypes by name, and who needs numpy for a plan."""

from __future__ import annotations

import ast

import numpy as np
import pytest
from commands import REPOSITORY

from exporter.language.spec import DTYPES
from exporter.planning.dtypes import NUMPY_DTYPES

PLANNING = REPOSITORY / "exporter" / "planning"


@pytest.mark.parametrize("name", NUMPY_DTYPES)
def test_a_dtype_is_known_by_its_own_name(name: str):
    assert NUMPY_DTYPES[name].name == name


def test_every_dtype_of_a_build_has_arrays():
    assert set(DTYPES) <= set(NUMPY_DTYPES)
    assert np.zeros(3, NUMPY_DTYPES["bfloat16"]).itemsize == 2


def test_a_plan_is_made_without_numpy():
    importers = {
        path.stem
        for path in PLANNING.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import) and {alias.name for alias in node.names} & {"numpy", "ml_dtypes"}
    }
    assert importers == {"dependence", "dtypes", "dummies"}

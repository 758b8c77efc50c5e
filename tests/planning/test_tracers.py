"""Which tracers the installed Python and PyTorch serve."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from exporter.planning.tracers import find_shortfalls, shortfalls


@pytest.fixture
def torch_folder(tmp_path: Path) -> Path:
    (tmp_path / "jit").mkdir()
    return tmp_path


def test_everything_serves_before_the_python_that_its_makers_name(torch_folder: Path):
    assert find_shortfalls((3, 13), torch_folder) == {}


def test_torchscript_is_unsupported_from_python_3_14_on(torch_folder: Path):
    for python in ((3, 14), (3, 15), (4, 0)):
        (shortfall,) = find_shortfalls(python, torch_folder).values()
        assert shortfall.why == "PyTorch supports no TorchScript (torch.jit) on Python 3.14 and later"
        assert not shortfall.gone


def test_torchscript_is_gone_with_its_part_of_torch(tmp_path: Path):
    for python in ((3, 11), (3, 14)):
        (shortfall,) = find_shortfalls(python, tmp_path).values()
        assert shortfall.gone
        assert shortfall.why == "the installed PyTorch has no TorchScript (torch.jit)"
    (tmp_path / "jit.py").touch()
    assert find_shortfalls((3, 11), tmp_path) == {}


def test_a_torch_that_is_not_installed_lacks_nothing():
    assert find_shortfalls((3, 13), None) == {}


def test_this_process_is_asked_without_torch():
    """Planning is light, so neither torch nor a part of it is imported to answer."""
    program = (
        "import sys; from exporter.planning.tracers import shortfalls; "
        "print(sorted(shortfalls()), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    expected = ["torchscript"] if sys.version_info >= (3, 14) else []
    assert done.stdout == f"{expected} False\n"
    assert sorted(shortfalls()) == expected


def test_the_parts_are_those_of_the_installed_torch():
    torch = pytest.importorskip("torch")
    assert find_shortfalls((3, 11), Path(torch.__file__).parent) == {}

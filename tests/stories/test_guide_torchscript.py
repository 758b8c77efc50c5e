"""The TorchScript half of the earlier system's guide: what docs/migrating.md says to write in its place is run."""

from __future__ import annotations

import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from click.testing import CliRunner
from commands import REPOSITORY, TINY_BERT

from exporter.cli.main import cli

PAGE = (REPOSITORY / "docs" / "migrating.md").read_text("utf-8")
SECTION = PAGE.partition("## From `torch.jit.trace`\n")[2].partition("\n## ")[0]
BLOCKS = dict(re.findall(r"```(yaml|bash|python)\n(.*?)```", SECTION, re.DOTALL))


@pytest.fixture
def place(make_checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the guide's kind of checkpoint and the page's spec, where commands run."""
    shutil.copytree(
        make_checkpoint("BertModel", "bert", **{**TINY_BERT, "type_vocab_size": 2}), tmp_path / "checkpoint"
    )
    (tmp_path / "bert.yaml").write_text(BLOCKS["yaml"], "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# The tracer looks at every attribute of a model, those that warn included.
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_page_says_how_the_guide_fails_today(place: Path):
    with pytest.raises(TypeError, match="torchscript"):
        transformers.BertModel.from_pretrained("checkpoint", torchscript=True)
    model = transformers.BertModel.from_pretrained("checkpoint").eval()
    tokens = torch.tensor([[2, 14, 3]])
    with pytest.raises(RuntimeError, match="Encountering a dict at the output of the tracer"):
        torch.jit.trace(model, [tokens, torch.zeros_like(tokens)])


def test_what_the_page_says_in_its_place_runs(place: Path, capsys: pytest.CaptureFixture[str]):
    done = CliRunner().invoke(cli, BLOCKS["bash"].split()[1:])
    assert done.exit_code == 0, done.output
    (place / "program.py").write_text(BLOCKS["python"], "utf-8")
    capsys.readouterr()
    said = runpy.run_path("program.py")
    # The numbers are the model's own, at a size that was not traced.
    model = transformers.BertModel.from_pretrained("checkpoint").eval()
    with torch.no_grad():
        expected = model(said["tokens_tensor"], token_type_ids=said["segments_tensors"])
    torch.testing.assert_close(said["all_encoder_layers"], expected.last_hidden_state, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(said["pooled_output"], expected.pooler_output, atol=1e-5, rtol=1e-5)
    assert "torch.Size([1, 10, " in capsys.readouterr().out

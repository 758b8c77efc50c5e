"""The modules of a checkpoint become steps; what no graph can hold is refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import CheckpointError
from exporter.models.checkpoints import Checkpoint
from exporter.models.checkpoints.embedding import embedding_remarks, head_files, read_head
from exporter.planning.plan import HeadStep

OLD = "sentence_transformers.models."
NEW = "sentence_transformers.sentence_transformer.modules.pooling."
Make = Callable[..., Checkpoint]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a checkpoint of modules, each a class and a config; the first is the model."""

    def make(*modules: tuple[str, Any], first: str = f"{OLD}Transformer") -> Checkpoint:
        entries = [{"path": "", "type": first}]
        for index, (kind, config) in enumerate(modules, 1):
            folder = f"{index}_{kind.rpartition('.')[2]}"
            (tmp_path / folder).mkdir(exist_ok=True)
            if config is not None:
                (tmp_path / folder / "config.json").write_text(json.dumps(config), "utf-8")
            entries.append({"path": folder, "type": kind})
        (tmp_path / "modules.json").write_text(json.dumps(entries), "utf-8")
        return Checkpoint(tmp_path, "mine", ())

    return make


POOLING = (f"{OLD}Pooling", {"word_embedding_dimension": 4, "pooling_mode_mean_tokens": True})


def test_modules_are_read_as_steps(make: Make) -> None:
    old = {"word_embedding_dimension": 4, "pooling_mode_lasttoken": True, "pooling_mode_cls_token": True}
    dense = {
        "in_features": 8,
        "out_features": 3,
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    checkpoint = make(
        (f"{OLD}Pooling", old),
        (f"{OLD}Dropout", {"dropout": 0.1}),
        (f"{OLD}Dense", dense),
        (f"{OLD}LayerNorm", {"dimension": 3}),
        (f"{OLD}Normalize", None),
    )
    head = read_head(checkpoint, 4)
    assert head == (
        HeadStep("pooling", 8, ("cls", "lasttoken")),
        HeadStep("dense", 3, activation="Identity", bias=False, folder="3_Dense"),
        HeadStep("layer-norm", 3, folder="4_LayerNorm"),
        HeadStep("normalize", 3),
    )
    for folder in ("3_Dense", "4_LayerNorm"):
        (checkpoint.path / folder / "model.safetensors").touch()
    assert head_files(checkpoint, head) == (
        "modules.json",
        "3_Dense/config.json",
        "3_Dense/model.safetensors",
        "4_LayerNorm/config.json",
        "4_LayerNorm/model.safetensors",
    )


@pytest.mark.parametrize(
    ("config", "modes"),
    [
        ({"embedding_dimension": 4, "pooling_mode": "weightedmean"}, ("weightedmean",)),
        ({"embedding_dimension": 4, "pooling_mode": ["max", "cls"]}, ("max", "cls")),
        ({"word_embedding_dimension": 4, "pooling_mode_max_tokens": True, "include_prompt": True}, ("max",)),
        ({"word_embedding_dimension": 4, "pooling_mode_mean_sqrt_len_tokens": True}, ("mean_sqrt_len_tokens",)),
        ({"word_embedding_dimension": 4, "pooling_mode_mean_tokens": False}, ("mean",)),
        ({"word_embedding_dimension": 4, "include_prompt": False}, ("mean",)),
    ],
)
def test_every_mode_of_pooling_is_read_in_old_and_new_configs(config: Any, modes: tuple[str, ...], make: Make) -> None:
    checkpoint = make((f"{NEW}Pooling", config), first="sentence_transformers.base.modules.transformer.Transformer")
    assert read_head(checkpoint, 4) == (HeadStep("pooling", 4 * len(modes), modes),)


def test_a_checkpoint_without_modules_has_no_head(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "mine", ())
    assert read_head(checkpoint, 4) == ()
    assert head_files(checkpoint, (HeadStep("pooling", 4, ("mean",)),)) == ()


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([], "names no pooling"),
        ([(f"{OLD}LSTM", {})], r"names the module LSTM \('1_LSTM'\), which no graph can hold"),
        ([POOLING, (f"{OLD}WordWeights", {})], "names the module WordWeights"),
        ([("custom_st.Pooling", {})], "the module 'custom_st.Pooling' of 'mine' is code of its own"),
        ([(f"{OLD}Dense", {})], r"the module Dense \('1_Dense'\) of 'mine' comes before the pooling"),
        ([POOLING, POOLING], r"the module Pooling \('2_Pooling'\) of 'mine' is a second pooling"),
        ([(f"{OLD}Pooling", None)], "has no config.json"),
        ([(f"{OLD}Pooling", {"pooling_mode": "mean"})], "has no size 'embedding_dimension'"),
        ([(f"{OLD}Pooling", {"embedding_dimension": 5})], "takes 'embedding_dimension' 5, and is given 4"),
        ([(f"{OLD}Pooling", {"embedding_dimension": 4, "pooling_mode": "median"})], "pools by median"),
        ([(f"{OLD}Pooling", {"embedding_dimension": 4, "pooling_mode": []})], "has no 'pooling_mode'"),
        ([(f"{OLD}Pooling", {"embedding_dimension": 4, "pooling_mode_own": True})], "pools by pooling_mode_own"),
        ([(f"{OLD}Pooling", {"embedding_dimension": 4, "include_prompt": 1})], "has the value 1 for 'include_prompt'"),
        ([POOLING, (f"{OLD}Dense", {"in_features": 5, "out_features": 2})], "takes 'in_features' 5, and is given 4"),
        ([POOLING, (f"{OLD}Dense", {"in_features": 4})], "has no size 'out_features'"),
        (
            [POOLING, (f"{OLD}Dense", {"in_features": 4, "out_features": 2, "activation_function": "own.Act"})],
            "has the activation 'own.Act', which is none of PyTorch's",
        ),
        (
            [POOLING, (f"{OLD}Dense", {"in_features": 4, "out_features": 2, "module_input_name": "token_embeddings"})],
            "has 'module_input_name': 'token_embeddings'",
        ),
        ([POOLING, (f"{OLD}LayerNorm", {"dimension": 3})], "takes 'dimension' 3, and is given 4"),
    ],
)
def test_what_no_graph_can_hold_is_refused(modules: list[tuple[str, Any]], message: str, make: Make) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_head(make(*modules), 4)


def test_a_first_module_that_is_not_the_plain_model_is_refused(make: Make, tmp_path: Path) -> None:
    for first in ("StaticEmbedding", "CLIPModel"):
        with pytest.raises(CheckpointError, match=f"begins with {first}"):
            read_head(make(POOLING, first=OLD + first), 4)
    with pytest.raises(CheckpointError, match="is code of its own"):
        read_head(make(POOLING, first="custom.Transformer"), 4)
    for settings in (
        {"transformer_task": "fill-mask"},
        {"module_output_name": "sentence_embedding"},
        {"modality_config": {"text": {"method": "get_text_features"}}},
        {"modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}}},
    ):
        (tmp_path / "sentence_bert_config.json").write_text(json.dumps(settings), "utf-8")
        with pytest.raises(CheckpointError, match="a graph pools the hidden states of the last layer"):
            read_head(make(POOLING), 4)
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 32, "modality_config": 3}', "utf-8")
    assert read_head(make(POOLING), 4)


def test_a_prompt_that_is_left_out_is_refused(make: Make, tmp_path: Path) -> None:
    (tmp_path / "config_sentence_transformers.json").write_text('{"prompts": {"query": "query: "}}', "utf-8")
    with pytest.raises(CheckpointError, match="leaves the tokens of a prompt out"):
        read_head(make((f"{OLD}Pooling", {"embedding_dimension": 4, "include_prompt": False})), 4)
    assert read_head(make(POOLING), 4)


def test_files_of_modules_that_are_links_out_are_refused(make: Make, tmp_path: Path) -> None:
    checkpoint = make(POOLING)
    (tmp_path / "1_Pooling" / "config.json").unlink()
    (tmp_path / "1_Pooling" / "config.json").symlink_to("/etc/hostname")
    with pytest.raises(CheckpointError, match=r"1_Pooling/config.json of 'mine' is a link that leaves the checkpoint"):
        read_head(checkpoint, 4)


def test_clients_are_told_what_the_library_does_besides(make: Make, tmp_path: Path) -> None:
    checkpoint = make(POOLING, (f"{OLD}Normalize", None))
    head = read_head(checkpoint, 4)
    assert list(embedding_remarks(checkpoint, head)) == []
    (told,) = embedding_remarks(checkpoint, ())
    assert told.startswith("what makes sentence embeddings of it (Pooling, Normalize) is not in the graph; --task sent")
    settings = {"prompts": {"query": "query: "}, "default_prompt_name": "query", "truncate_dim": 2}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(settings), "utf-8")
    (tmp_path / "sentence_bert_config.json").write_text('{"do_lower_case": true}', "utf-8")
    assert list(embedding_remarks(checkpoint, head)) == [
        "a text is embedded behind the prompt 'query: '",
        "sentence-transformers keeps the first 2 values of an embedding",
        "texts are made lower case before they are split into tokens",
    ]
    (tmp_path / "modules.json").unlink()
    assert list(embedding_remarks(checkpoint, ())) == []
    assert "pooled by their mean" in "".join(embedding_remarks(checkpoint, head))

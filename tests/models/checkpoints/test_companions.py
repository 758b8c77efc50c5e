"""Everything beside the weights goes beside the graph; what stays behind is named, and nothing is followed outside."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from exporter.errors import CheckpointError
from exporter.models.checkpoints import Checkpoint, LeftBehind, find_companions, left_text
from exporter.models.checkpoints.companions import BROKEN, LINK, LOOP, MOST_BYTES, NAME, NOT_JSON, SPECIAL, UNREADABLE
from exporter.models.checkpoints.file_kinds import CACHE, CODE, STATE, WEIGHTS


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, "utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    write(folder, "config.json", "model.safetensors")
    return folder


def find(folder: Path, *, trusted: bool = False) -> tuple[list[str], dict[str, str]]:
    """Return the names of what goes beside the graph, and the reasons of what does not."""
    companions = find_companions(Checkpoint(folder, "mine", ("model.safetensors",), trust_remote_code=trusted))
    for name, path in companions.files.items():
        assert path.read_bytes() == (folder / name).read_bytes()
    return list(companions.files), {item.name: item.reason for item in companions.left}


def test_everything_goes_but_weights_code_and_training_state(folder: Path) -> None:
    kept = [
        "LICENSE",
        "additional_chat_templates/tool_use.jinja",
        "config.json",
        "dict.txt",
        "language_model/5gram.bin",
        "language_model/attrs.json",
        "sentencepiece.model",
        "voices/deep/one.npy",
    ]
    write(folder, *kept, "pytorch_model.bin", "onnx/model.onnx", "onnx/config.json", "tf_model.h5", "lost/model.gguf")
    write(folder, "modeling_own.py", "optimizer.pt", "checkpoint-5/config.json", "runs/a/events", ".git/config", ".env")
    (folder / "archive.bin").write_bytes(b"PK\x03\x04")
    names, left = find(folder)
    assert names == kept
    assert left == {
        ".env": CACHE,
        ".git/": CACHE,
        "archive.bin": WEIGHTS,
        "checkpoint-5/": STATE,
        "lost/model.gguf": WEIGHTS,
        "modeling_own.py": CODE,
        "onnx/": WEIGHTS,
        "optimizer.pt": STATE,
        "pytorch_model.bin": WEIGHTS,
        "runs/": STATE,
        "tf_model.h5": WEIGHTS,
    }
    names, left = find(folder, trusted=True)
    assert "modeling_own.py" in names
    assert "modeling_own.py" not in left


def test_modules_behind_the_model_keep_their_weights(folder: Path) -> None:
    write(folder, "1_Pooling/config.json", "2_Dense/model.safetensors", "2_Dense/pytorch_model.bin", "3_Own/model.pt")
    (folder / "4_Normalize").mkdir()
    modules = [{"type": f"x.{name[2:]}", "path": name} for name in ("", "1_Pooling", "2_Dense", "4_Normalize")]
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    names, left = find(folder)
    assert {"1_Pooling/config.json", "2_Dense/model.safetensors", "2_Dense/pytorch_model.bin"} <= set(names)
    assert left == {"3_Own/model.pt": WEIGHTS}
    companions = find_companions(Checkpoint(folder, "mine", ("model.safetensors",)))
    assert companions.folders == ("1_Pooling", "2_Dense", "4_Normalize")
    # What is no list of modules is somebody else's to tell.
    (folder / "modules.json").write_text("[", "utf-8")
    assert "modules.json" in find(folder)[0]


def test_links_lead_to_the_checkpoints_own_files_alone(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, "home/id_rsa", "home/keys/one")
    write(folder, "vocab.txt", "data/deep/file", ".git/config", "notes/real.txt")
    links = {
        "alias.txt": "vocab.txt",
        "absolute.txt": str(folder / "vocab.txt"),
        "folder": "data",
        "around.txt": "data/../vocab.txt",
        "secret.txt": "../home/id_rsa",
        "chain.txt": "secret.txt",
        "keys": "../home/keys",
        "up": "..",
        "gone.txt": "nothing",
        "itself": "itself",
        "here": ".",
        "data/back": "..",
        "docs": ".git",
        "git.txt": ".git/config",
        "renamed.dat": "model.safetensors",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    names, left = find(folder)
    assert names == sorted(
        [
            *("config.json", "vocab.txt", "data/deep/file", "notes/real.txt"),
            *("alias.txt", "absolute.txt", "around.txt", "folder/deep/file"),
        ]
    )
    assert left == {
        ".git/": CACHE,
        "chain.txt": LINK,
        "data/back/": LOOP,
        "docs": CACHE,
        "folder/back/": LOOP,
        "git.txt": CACHE,
        "gone.txt": BROKEN,
        "here/": LOOP,
        "itself": BROKEN,
        "keys": LINK,
        "renamed.dat": WEIGHTS,
        "secret.txt": LINK,
        "up": LINK,
    }


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "vocab.txt", "sentencepiece.model", "1_Pooling", "generation_config.json", "merges.txt"]
)
def test_a_link_in_the_place_of_a_needed_file_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    write(tmp_path, "home/id_rsa")
    (folder / name).symlink_to("../home" if name == "1_Pooling" else "../home/id_rsa")
    with pytest.raises(CheckpointError, match=f"{name} of 'mine' is a link that leaves the checkpoint") as refusal:
        find(folder)
    assert "id_rsa" not in refusal.value.message
    (folder / name).unlink()
    (folder / name).symlink_to("nothing")
    with pytest.raises(CheckpointError, match="a link that leads to a file that is not there"):
        find(folder)
    (folder / name).unlink()
    write(folder, ".git/config")
    (folder / name).symlink_to(".git/config")
    with pytest.raises(CheckpointError, match="a link that leads to caches and hidden files"):
        find(folder)


def test_a_linked_folder_of_a_module_is_refused_where_it_leads_out(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, "home/config.json")
    (folder / "modules.json").write_text(json.dumps([{"type": "T", "path": ""}, {"type": "P", "path": "pool"}]))
    (folder / "pool").symlink_to("../home")
    with pytest.raises(CheckpointError, match="pool of 'mine' is a link that leaves the checkpoint"):
        find(folder)


def test_what_is_no_regular_file_is_never_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe.txt")
    os.mkfifo(folder / "pipe.bin")
    assert find(folder) == (["config.json"], {"pipe.bin": SPECIAL, "pipe.txt": SPECIAL})
    os.mkfifo(folder / "tokenizer.json")
    with pytest.raises(CheckpointError, match=r"tokenizer.json of 'mine' is no regular file"):
        find(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_named(folder: Path) -> None:
    write(folder, "notes.txt", "closed/file")
    (folder / "notes.txt").chmod(0)
    (folder / "closed").chmod(0)
    assert find(folder)[1] == {"closed": UNREADABLE, "notes.txt": UNREADABLE}
    (folder / "closed").chmod(0o755)
    write(folder, "vocab.txt")
    (folder / "vocab.txt").chmod(0)
    with pytest.raises(CheckpointError, match=r"vocab.txt of 'mine' cannot be read: Permission denied"):
        find(folder)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf{}", b'{"loss": NaN}', b'{"loss": [1, -Infinity]}'])
def test_json_that_only_python_reads_is_never_copied_on(content: bytes, folder: Path) -> None:
    (folder / "eval_results.json").write_bytes(content)
    names, left = find(folder)
    assert names == ["config.json"]
    assert left == {"eval_results.json": NOT_JSON}
    (folder / "tokenizer_config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tokenizer_config.json of 'mine' (begins|holds)") as refusal:
        find(folder)
    assert refusal.value.help == "save it as JSON in UTF-8"


def test_json_with_such_words_in_texts_and_what_is_no_json_at_all_are_copied(folder: Path) -> None:
    for name, content in {"a.json": '{"text": "NaN"}', "b.json": "maybe NaN", "c.json": "{"}.items():
        (folder / name).write_text(content, "utf-8")
    assert find(folder) == (["a.json", "b.json", "c.json", "config.json"], {})


def test_odd_names_stay_behind_and_are_shown_escaped(folder: Path) -> None:
    odd = [b"bad\xff.txt", b"two\nlines.txt", b"back\\slash.txt", "turned\u202etxt.exe".encode()]
    for name in odd:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()
    write(folder, "größe und mehr.txt", "Vocab.txt", "vocab.txt")
    names, left = find(folder)
    assert names == ["Vocab.txt", "config.json", "größe und mehr.txt", "vocab.txt"]
    assert set(left.values()) == {NAME}
    assert all(name.isascii() and name.isprintable() for name in left)
    assert len(left) == len(odd)


def test_a_file_of_gigabytes_is_refused_with_a_way_out(folder: Path) -> None:
    with (folder / "dump.tar").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(CheckpointError, match=r"dump.tar of 'mine' has 1.1 GB") as refusal:
        find(folder)
    assert "move it out of the checkpoint" in str(refusal.value.help)
    (folder / "dump.tar").rename(folder / "pytorch_model.bin")
    assert find(folder)[1] == {"pytorch_model.bin": WEIGHTS}


def test_too_many_files_are_refused_soon(folder: Path) -> None:
    # Two links to the next folder in each of forty: a trillion ways through, and no circle.
    for index in range(40):
        (folder / f"level{index}").mkdir()
        for link in ("a", "b"):
            (folder / f"level{index}" / link).symlink_to(f"../level{index + 1}")
    (folder / "level40").mkdir()
    with pytest.raises(CheckpointError, match="'mine' holds more than 10,000 files"):
        find(folder)


def test_what_stays_behind_is_a_line() -> None:
    left = [LeftBehind("onnx/", WEIGHTS), LeftBehind("tf_model.h5", WEIGHTS), LeftBehind("run.py", CODE)]
    assert left_text(left) == "left behind: weights (onnx/, tf_model.h5); code (run.py)"
    many = [LeftBehind(f"{index}.h5", WEIGHTS) for index in range(9)]
    assert left_text(many).endswith("5.h5 and 3 more)")


def test_a_model_in_a_folder_beside_its_modules_goes_to_both_places(folder: Path) -> None:
    inner = folder.parent / "whole" / "0_Transformer"
    write(inner.parent, "1_Pooling/config.json", "README.md")
    folder.rename(inner)
    write(inner, "vocab.txt", "tf_model.h5")
    modules = [{"type": "T", "path": "0_Transformer"}, {"type": "P", "path": "1_Pooling"}]
    (inner.parent / "modules.json").write_text(json.dumps(modules), "utf-8")
    companions = find_companions(Checkpoint(inner, "mine", ("model.safetensors",), outer=inner.parent))
    assert list(companions.files) == [
        *("0_Transformer/config.json", "0_Transformer/vocab.txt", "1_Pooling/config.json"),
        *("README.md", "config.json", "modules.json", "vocab.txt"),
    ]
    assert companions.files["vocab.txt"] == companions.files["0_Transformer/vocab.txt"]
    assert companions.left == (LeftBehind("0_Transformer/tf_model.h5", WEIGHTS),)

from __future__ import annotations

from exporter.drafting.kin import Kin, all_kin


def kin(family: str, architecture: str = "nobody") -> Kin:
    return next(each for each in all_kin(architecture) if each.name == family)


def test_a_spec_is_no_example_for_itself():
    assert "bert" in kin("encoder").specs
    assert "bert" not in kin("encoder", "bert").specs
    assert all("bert" not in each.others for each in all_kin("bert"))


def test_tasks_stand_in_the_order_of_the_specs_with_the_forms_that_they_have():
    tasks = kin("decoder").tasks
    assert tasks.index("feature-extraction") < tasks.index("text-generation") < tasks.index("text-classification")
    assert "text-generation-with-past" in tasks
    assert "text-classification-with-past" not in tasks


def test_expressions_of_the_family_come_before_those_of_others():
    texts = kin("decoder").expressions("kv_heads")
    assert texts[0] == "config.n_head"
    assert texts.index("config.num_heads") < texts.index("config.decoder_attention_heads")


def test_blocks_are_unique_and_the_plainest_is_first():
    blocks = kin("decoder").blocks()
    assert len({repr(sorted(block.dims.items())) for block in blocks}) == len(blocks)
    assert len(blocks[0].dims) == 1


def test_a_reason_is_the_one_that_a_spec_gives():
    assert "projection" in (kin("encoder").reason("pooler_output") or "")
    assert kin("encoder").reason("no_such_output") is None


def test_an_input_is_declared_as_a_spec_declares_it():
    line, dims = kin("encoder", "layoutlm").input_line("bbox") or ("", {})
    assert line.startswith("int64[batch, sequence, 4]")
    assert any(dim in line for dim in dims)

"""What ``help()`` shows: each option of a request with its type and its default, as the command line has it."""

from __future__ import annotations

import dataclasses
import pydoc
import re
import subprocess
import sys
from typing import Any, TypedDict

import click
import pytest

import exporter
from exporter import api
from exporter.building.request import OPTIONS, Request
from exporter.cli.main import cli
from exporter.docstrings import names_options
from exporter.language.schema import load_schema
from exporter.models.checkpoints import Source
from exporter.planning.options import Options

# What a request holds several of has one name for one and for several.
SINGULAR = {"tasks": "task", "targets": "target"}
# The specs are the positional arguments.
NAMES = {SINGULAR.get(name, name): name for name in OPTIONS if name != "spec"}
TAKERS = {
    exporter.build: api.BuildOptions,
    exporter.plan: api.PlanOptions,
    exporter.ExportConfig: api.PlanOptions,
    exporter.verify: api.VerifyOptions,
}
COMMAND_LINE = {option.name: option for option in cli.commands["build"].params if isinstance(option, click.Option)}


def described(thing: Any) -> dict[str, tuple[str, str]]:
    """Return the type and the meaning of each option that ``help`` names, the lines of a meaning joined."""
    text = pydoc.plain(pydoc.render_doc(thing))
    found = re.findall(
        r"^ (?:\|  )?   +(\w+): ([\w | \[\],]+)\n((?:[ |]{12,}.*\n)+)", text.partition("Options:\n")[2], re.MULTILINE
    )
    return {name: (kind, " ".join(meaning.replace("|  ", "").split())) for name, kind, meaning in found}


def default_said(meaning: str) -> str:
    """Return what a text says of the default, without the marks that differ between a docstring and a help text."""
    return re.sub(r"[`'.]|--", "", meaning.partition("Default")[2]).strip(" :")


@pytest.mark.parametrize(("thing", "options"), TAKERS.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_help_names_every_option_with_type_and_default(thing: Any, options: Any):
    shown = described(thing)
    assert set(shown) == set(options.__annotations__)
    for name, (kind, meaning) in shown.items():
        assert f"{kind} | None" == options.__annotations__[name].__forward_arg__
        assert default_said(meaning), name


def test_what_help_says_is_the_default_of_a_request():
    shown = described(exporter.build)
    assert set(shown) == set(NAMES)
    for kind in (Request, Options, Source):
        for field in dataclasses.fields(kind):
            name = SINGULAR.get(field.name, field.name)
            if name not in shown or field.default in (dataclasses.MISSING, None, ()):
                continue
            values = field.default if isinstance(field.default, tuple) else (field.default,)
            assert default_said(shown[name][1]).startswith(str(values[0])), name


@pytest.mark.parametrize("name", NAMES)
def test_help_and_the_command_line_say_the_same_default(name: str):
    option = COMMAND_LINE.get(NAMES[name])
    if option is None:
        assert name == "settings"  # the flags of targets, by their own names
        return
    said = default_said(described(exporter.build)[name][1])
    if option.is_flag:
        # A flag is not set where it is not given; `--no-verify` takes away what is done otherwise.
        assert said == str(not option.flag_value)
    elif "Default" in (option.help or ""):
        assert said == default_said(option.help or "")
    else:
        assert name in ("dims", "variant")  # without the option there is nothing to say on a command line


@pytest.mark.parametrize("name", NAMES)
def test_help_and_build_files_say_the_same_default(name: str):
    entry = load_schema("build")["properties"]["builds"]["items"]["properties"][NAMES[name]]
    said = default_said(described(exporter.build)[name][1])
    if name == "output":
        # Below the `output` of the file, which is `artifacts` where it says nothing.
        said = said.removeprefix("artifacts/")
        assert default_said(entry["description"]).startswith(said)
    else:
        assert default_said(entry["description"]).lower() == said.lower()


def test_a_result_says_what_its_fields_are():
    text = pydoc.plain(pydoc.render_doc(exporter.BuildResult))
    for field in dataclasses.fields(exporter.BuildResult):
        assert re.search(rf"^ \|\s+{field.name}: \w", text, re.MULTILINE), field.name


def test_options_are_added_to_the_docstring_as_it_stands():
    class Sizes(TypedDict, total=False):
        """Sizes of a thing.

        Attributes:
            width: across, in
                pixels. Default: 1.
        """

        width: int | None

    @names_options(Sizes)
    def draw(**sizes: Any) -> None:
        """Draw it."""

    assert draw.__doc__ == "Draw it.\n\nOptions:\n    width: int\n        across, in pixels. Default: 1."


def test_without_docstrings_the_package_can_be_imported():
    code = "import exporter; print(exporter.build.__doc__, exporter.ExportConfig.__doc__)"
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["None", "None"]

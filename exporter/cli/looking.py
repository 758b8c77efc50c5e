"""The commands that look and build nothing: `plan`, `list`, `show`, `schema`, `explain` and `verify`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from exporter.cli.answer import Answer, json_option
from exporter.cli.color import paint
from exporter.cli.completion import complete_families, complete_rules, complete_specs, complete_tasks
from exporter.cli.containment import verify_contained
from exporter.cli.junit import Case, JUnitReport, junit_option
from exporter.cli.manner import Manner, say
from exporter.cli.options import Tolerance, Words, build_options, gather_options, source_options
from exporter.cli.progress import Display
from exporter.errors import UsageError
from exporter.targets.registry import TARGETS


@click.command
@click.argument("specs", nargs=-1, metavar="[SPEC|ARCHITECTURE|DIR|BUILD_FILE]...", shell_complete=complete_specs)
@build_options
@json_option("the plans")
def plan(specs: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Print every graph and tensor that a build with the same arguments would make.

    Nothing is built or written. All options are those of 'build': what a build refuses before any work is refused here
    in the same words.

    \b
        exporter plan specs/my-model.yaml --task fill-mask
        exporter plan --model ./my-checkpoint --opset 17
    """
    from exporter import api
    from exporter.cli.render.builds import plan_text

    with Display() as display:
        plans = api.plan_requests(specs, gather_options(options), display.show)
    if as_json:
        return Answer.current().give(plans=[planned.to_data() for planned in plans])
    for planned in plans:
        click.echo("\n".join(plan_text(planned)))
    return 0


@click.command(name="list")
@click.argument("names", nargs=-1, metavar="[DIRECTORY|ARCHITECTURE]...", shell_complete=complete_specs)
@click.option(
    "--task",
    "--feature",
    metavar="TASK",
    shell_complete=complete_tasks,
    help="List this task alone, by any of its names.",
)
@click.option(
    "--family",
    metavar="FAMILY",
    shell_complete=complete_families,
    help="List the architectures of this family alone.",
)
@click.option("--target", type=Words(TARGETS, "targets"), help="List what can be built as this target alone.")
@click.option("--search", metavar="TEXT", help="List what has this text in its name, description, family or task.")
@json_option("the catalogue")
@click.option("--markdown", is_flag=True, help="Print the catalogue as Markdown, as it stands in README.md.")
def list_(names: tuple[str, ...], as_json: bool, markdown: bool, **conditions: str | None) -> int:
    """List architectures and their tasks, with what is refused and why. Without DIRECTORY: the catalogue.

    A line has a task, its retired feature name, its tracers, its dtypes and its targets.

    \b
        exporter list my-model other-model
        exporter list --task ner --target openvino
    """
    from exporter import api
    from exporter.cli.render import catalogue

    file = next((name for name in names if Path(name).is_file()), None)
    if file is not None:
        raise UsageError(
            f"'{file}' is a file", help="name a directory or an architecture; 'exporter show' prints a spec"
        )
    folders = [Path(name) for name in names if Path(name).is_dir()]
    asked = tuple(name for name in names if not Path(name).is_dir())
    catalogues = [api.load_specs(folder) for folder in folders] if folders else [api.load_specs()]
    specs = [spec for listed in catalogues for spec in listed]
    if asked or any(conditions.values()):
        specs = api.select_specs(specs, api.Selection(names=asked, **conditions))
    if as_json:
        return Answer.current().give(architectures=catalogue.catalogue_data(specs))
    if markdown:
        click.echo(catalogue.catalogue_markdown(specs), nl=False)
    else:
        click.echo("\n".join(catalogue.catalogue_text(specs)))
    return 0


@click.command
@click.argument("spec", metavar="SPEC|ARCHITECTURE", shell_complete=complete_specs)
@json_option('the spec, in which each value is {"value": …, "from": "FILE:LINE"}')
def show(spec: str, as_json: bool) -> int:
    """Print a spec laid over its family, and the file and line each value comes from."""
    from exporter import api
    from exporter.cli.render import catalogue

    tree = api.compose(spec)
    if as_json:
        return Answer.current().give(spec=catalogue.composed_data(tree))
    click.echo("\n".join(catalogue.composed_text(tree)))
    return 0


@click.command
@click.argument("kind", default="spec", metavar="[KIND]")
@click.option(
    "--editor",
    is_flag=True,
    help="With the families, tasks and architectures there are: an editor completes them and underlines other names.",
)
@click.option(
    "--beside",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The same, and the families in DIR/families are known too: those of your own specs in DIR.",
)
@click.option("--markdown", is_flag=True, help="Print the page docs/schema.md instead: every key of every document.")
def schema(kind: str, editor: bool, beside: Path | None, markdown: bool) -> int:
    """Print the JSON Schema of one kind of document as one self-contained text. Without a kind: that of specs.

    KIND is spec, family, tasks or build. It may also be what a command prints as JSON: build-output is the schema of
    'exporter build --json', and output is what the JSON of all commands has in common.

    \b
        exporter schema spec --editor > spec.schema.json
        exporter schema spec --beside specs > schemas/spec.schema.json
    """
    from exporter.cli.render.manual import editor_document, schema_document, schema_page

    if markdown and (editor or beside is not None):
        raise UsageError("--markdown prints a page for people", help="leave out --editor and --beside, or --markdown")
    if editor or beside is not None:
        click.echo(editor_document(kind, beside), nl=False)
    else:
        click.echo(schema_page() if markdown else schema_document(kind), nl=False)
    return 0


@click.command
@click.argument("rule", required=False, shell_complete=complete_rules)
@json_option("the rule, or every rule")
@click.option("--markdown", is_flag=True, help="Print the page docs/rules.md instead: every rule.")
def explain(rule: str | None, as_json: bool, markdown: bool) -> int:
    """Say what a lint rule looks for, why, and what to write instead. Without RULE: list the rules.

    RULE is a name (unknown-dim) or a code (EXP203), as a finding shows it.
    """
    from exporter.cli.render import manual

    if as_json:
        return Answer.current().give(rules=manual.rules_data(rule))
    if markdown:
        click.echo(manual.rules_page(), nl=False)
    else:
        click.echo(manual.explain_rule(rule) if rule else manual.list_rules())
    return 0


@click.command
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--model",
    "-m",
    metavar="DIR|HUB_ID",
    help=(
        "The checkpoint the artifact was built from. Runs it beside the graph on new inputs, instead of comparing with "
        "the artifact's golden vectors."
    ),
)
@source_options
@click.option("--atol", type=Tolerance(), metavar="X", help="Absolute tolerance. Default: that of the build.")
@click.option("--rtol", type=Tolerance(), metavar="X", help="Relative tolerance. Default: that of the build.")
@click.option(
    "--trust-artifact",
    is_flag=True,
    help=(
        "Open files that run code of whoever made the artifact: what AOTInductor (--aoti) or the AWS Neuron SDK "
        "compiled, and programs with pickles."
    ),
)
@junit_option
@json_option("the report")
def verify(directory: Path, junit: Path | None, as_json: bool, **options: Any) -> int:
    """Verify an artifact again: its files, its structure and its numbers.

    DIRECTORY is one that 'exporter build' wrote. Without --model, the graphs are run on the golden vectors in it:
    inputs, and the outputs PyTorch gave for them at the time of the build. That needs neither PyTorch nor the
    checkpoint.

    The artifact may be a stranger's: no code in it is run, and nothing outside it is read. Files that hold code are
    refused without --trust-artifact.
    """
    from exporter import api
    from exporter.cli.render.builds import report_text, verified_case

    written = JUnitReport.of_command(junit)
    written.expect({directory: Case(directory.resolve().name, str(directory))})
    started = time.monotonic()
    with Display() as display:
        report = verify_contained(
            lambda progress: api.verify(directory, progress=progress, **options),
            directory,
            limited=not options["trust_artifact"],
            progress=display.show,
            heard=display.hear if Manner.current().verbose else lambda _: None,
        )
    written.end(directory, verified_case(directory, report, time.monotonic() - started))
    if as_json:
        return Answer.current().give(0 if report.passed else 1, report=report.to_data())
    for line in report.failures():
        say(f"{paint('error', fg='red', bold=True)}: {line}")
    for line in report_text(report) if not Manner.current().quiet else map("not proved: {}".format, report.unproved):
        click.echo(line)
    return 0 if report.passed else 1


COMMANDS = (plan, list_, show, schema, explain, verify)

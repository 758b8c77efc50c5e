"""Arguments → one API call → a reporter → an exit code. No logic lives here.

Exit codes: 0 good; 1 findings, a failed build or a failed verification; 2 wrong usage; 3 a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

import exporter
from exporter.arguments import build_options, split_options, target_options
from exporter.diagnostics import ExporterError, SpecError, UsageError

if TYPE_CHECKING:
    from exporter.building.requests import Build
    from exporter.building.run import Outcome

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        code = cli(standalone_mode=False)
    except click.exceptions.Abort:
        _leave("interrupted", None, 130)
    except KeyboardInterrupt:
        _leave("interrupted", None, 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        sys.exit(0)
    except SpecError as error:
        from exporter.report.text import render_diagnostics

        click.echo(render_diagnostics(error.diagnostics), err=True)
        sys.exit(error.exit_code)
    except ExporterError as error:
        _leave(f"error: {error.message}", error.help, error.exit_code)
    except Exception as error:
        report_bug(error)
    sys.exit(code if isinstance(code, int) else 0)


def _leave(message: str, help_: str | None, code: int) -> NoReturn:
    click.echo(message, err=True)
    if help_:
        click.echo(f"  = help: {help_}", err=True)
    sys.exit(code)


def report_bug(error: Exception) -> NoReturn:
    """Write what happened to a log, name it, and leave with exit code 3."""
    import platform

    with tempfile.NamedTemporaryFile("w", prefix="exporter-", suffix=".log", delete=False, encoding="utf-8") as log:
        log.write(f"exporter {exporter.__version__}, Python {platform.python_version()}, {platform.platform()}\n")
        traceback.print_exception(error, file=log)
    _leave(f"a bug in exporter: {type(error).__name__}: {error}", f"please report it with the log: {log.name}", 3)


@click.group(context_settings=_CONTEXT)
@click.version_option(exporter.__version__, prog_name="exporter")
def cli() -> None:
    """Turn Hugging Face Transformers checkpoints into verified graphs: ONNX, TorchScript, torch.export, AWS Neuron.

    An architecture is described by one YAML spec. Build it as it is to check the spec on a tiny model with random
    weights, or give a checkpoint:

    \b
        exporter build specs/my-model.yaml            the reference of an architecture, offline
        exporter build --model ./my-checkpoint -o out a checkpoint, its spec and task found from its config
        exporter verify out                           check an artifact again, without PyTorch
        exporter lint specs                           check specs, with carets under what is wrong
    """


@cli.command(context_settings=_CONTEXT)
@click.argument("specs", nargs=-1, metavar="[SPEC|ARCHITECTURE|DIR|BUILD_FILE]...")
@build_options
@target_options
@click.option(
    "--weights",
    type=click.Choice(["auto", "external"]),
    default="auto",
    show_default=True,
    help="auto: inside model.onnx below 2 GB, beside it above; external: always beside it.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write: the artifact itself for one task, DIR/<task> for several. Default: artifacts/<name>/<task>.",
)
@click.option(
    "--no-verify", is_flag=True, help="Do not compare the graph with PyTorch. Nothing then says that it is right."
)
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="How many builds run at once, each in a process of its own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON on standard output.")
def build(
    specs: tuple[str, ...],
    tasks: tuple[str, ...],
    model: str | None,
    revision: str | None,
    framework: str | None,
    cache_dir: str | None,
    trust_remote_code: bool,
    output: Path | None,
    no_verify: bool,
    jobs: int,
    as_json: bool,
    **options: Any,
) -> int:
    """Build and verify graphs.

    Each graph is compared with PyTorch at the sizes it was traced at and at others; one that differs fails the build.
    An artifact is put in place whole: a build that fails or is killed leaves the earlier one as it was.

    \b
        exporter build specs/my-model.yaml
        exporter build my-model --task text-generation-with-past -o out
        exporter build --model ./my-checkpoint --task masked-lm --opset 17 -o onnx
        exporter build --model ./my-checkpoint --target torchscript -o script
        exporter build --model ./my-checkpoint --target neuron --dim batch=1 --dim sequence=128 -o neuron
    """
    from exporter.building.requests import Wanted, plan_builds
    from exporter.building.run import run_builds
    from exporter.report import builds as report

    targets, engine = split_options(options)
    wanted = Wanted(
        spec=None, model=model, tasks=tasks, targets=targets, output=output, revision=revision, framework=framework, cache_dir=cache_dir, trust_remote_code=trust_remote_code,
        options=engine, verify=not no_verify,
    )  # fmt: skip
    planned = plan_builds(specs, wanted)
    for line in report.headline(planned):
        click.echo(line, err=True)
    outcomes: list[Outcome] = []
    with _progress(len(planned)) as on_stage:
        for outcome in run_builds(planned, on_stage, min(jobs, len(planned))):
            outcomes.append(outcome)
            click.echo(report.outcome_line(outcome), err=True)
            if outcome.error is not None:
                click.echo(
                    f"error: {outcome.error.message}"
                    + (f"\n  = help: {outcome.error.help}" if outcome.error.help else ""),
                    err=True,
                )
    if as_json:
        click.echo(json.dumps([report.outcome_data(outcome) for outcome in outcomes], indent=1))
    else:
        for outcome in outcomes:
            for line in report.summarize(outcome):
                click.echo(line)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if len(outcomes) > 1:
        click.echo(f"{len(outcomes) - len(failed)} built, {len(failed)} failed", err=True)
    return max((outcome.error.exit_code for outcome in failed if outcome.error is not None), default=0)


class _progress:  # noqa: N801 - used like a function
    """Show the stage a build is in: a live line on a terminal, nothing where nobody watches."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.status: Any = None
        self.names: list[str] = []

    def __enter__(self) -> Callable[[Build, str], None]:
        if sys.stderr.isatty():
            from rich.console import Console

            self.status = Console(stderr=True).status("starting", spinner="dots")
            self.status.start()
        return self.show

    def __exit__(self, *_: object) -> None:
        if self.status is not None:
            self.status.stop()

    def show(self, build: Build, text: str) -> None:
        name = f"{build.architecture} {build.task} {build.output}"
        if name not in self.names:
            self.names.append(name)
        if self.status is not None:
            self.status.update(
                f"[{len(self.names)}/{self.total}] {build.architecture} {build.task}: {text}".replace("[", "\\[")
            )


@cli.command(context_settings=_CONTEXT)
@click.argument("specs", nargs=-1, required=True, metavar="[SPEC|ARCHITECTURE|DIR]...")
@build_options
@click.option("--json", "as_json", is_flag=True, help="Print the measurements as JSON.")
def measure(
    specs: tuple[str, ...],
    tasks: tuple[str, ...],
    model: str | None,
    revision: str | None,
    framework: str | None,
    cache_dir: str | None,
    trust_remote_code: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Measure how far graphs are from PyTorch, and the tolerance that supports.

    Builds into a temporary place and compares as a build does. A bound is good when the worst difference is between a tenth of it
    and all of it.
    """
    from exporter.building.requests import Wanted
    from exporter.measuring import measure
    from exporter.report.builds import measurement_line

    targets, engine = split_options(options)
    wanted = Wanted(
        spec=None, model=model, tasks=tasks, targets=targets, revision=revision, framework=framework, cache_dir=cache_dir, trust_remote_code=trust_remote_code,
        options=engine,
    )  # fmt: skip
    found = []
    with _progress(len(specs)) as on_stage:
        for one in measure(specs, wanted, on_stage):
            found.append(one)
            if not as_json:
                click.echo(measurement_line(one))
    if as_json:
        rows = [{**dataclasses.asdict(one), "suggested": one.suggested, "verdict": one.verdict} for one in found]
        click.echo(json.dumps(rows, indent=1))
    return 0 if all(one.verdict == "good" for one in found) else 1


@cli.command(context_settings=_CONTEXT)
@click.argument("spec", metavar="SPEC|ARCHITECTURE")
@build_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(
    spec: str,
    tasks: tuple[str, ...],
    model: str | None,
    revision: str | None,
    framework: str | None,
    cache_dir: str | None,
    trust_remote_code: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Spell out every graph and tensor of a spec for a config, without building anything."""
    from exporter import models
    from exporter.checkpoints import open_checkpoint
    from exporter.loading import load_spec
    from exporter.planning import find_task, plan_task
    from exporter.report.builds import plan_text
    from exporter.spec import overlay_config

    targets, wanted = split_options(options)
    composed = load_spec(spec).with_variant(wanted.variant)
    chosen = [find_task(composed, name) for name in tasks] or list(composed.tasks.values())
    checkpoint = (
        open_checkpoint(model, revision=revision, framework=framework, cache_dir=cache_dir)
        if model is not None
        else None
    )
    plans = []
    for task in chosen:
        if checkpoint is not None:
            config = models.load_config(checkpoint, task.config, trust_remote_code=trust_remote_code)
        else:
            config = models.make_config(
                composed.architecture, overlay_config(composed.reference, task.reference_config, task.config)
            )
        rtol_of = "element" if checkpoint is None else "output"
        plans += [
            plan_task(composed, task, config, dataclasses.replace(wanted, target=target), rtol_of=rtol_of)
            for target in targets
        ]
    if as_json:
        click.echo(json.dumps([one.to_data() for one in plans], indent=1))
    else:
        for one in plans:
            click.echo("\n".join(plan_text(one)))
    return 0


@cli.command(name="list", context_settings=_CONTEXT)
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--json", "as_json", is_flag=True, help="Print the catalogue as JSON.")
@click.option("--markdown", is_flag=True, help="Print the table of the README.")
def list_(directory: Path | None, as_json: bool, markdown: bool) -> int:
    """List architectures and their tasks, with what is refused and why."""
    from exporter.catalog import list_specs
    from exporter.loading import load_spec
    from exporter.report import catalogue

    specs = [load_spec(path) for path in list_specs(directory)]
    if as_json:
        click.echo(json.dumps(catalogue.catalogue_data(specs), indent=1))
    elif markdown:
        click.echo(catalogue.catalogue_markdown(specs), nl=False)
    else:
        click.echo("\n".join(catalogue.catalogue_text(specs)))
    return 0


@cli.command(context_settings=_CONTEXT)
@click.argument("spec", metavar="SPEC|ARCHITECTURE")
@click.option("--json", "as_json", is_flag=True, help="Print data in which each leaf is {value, from}.")
def show(spec: str, as_json: bool) -> int:
    """Print a spec composed with its family, and the file and line each value came from."""
    from exporter.catalog import display_name, find_spec
    from exporter.compose import compose_spec
    from exporter.loading import load_spec
    from exporter.report import catalogue
    from exporter.source import load_document

    load_spec(spec)
    path = find_spec(spec)
    tree = compose_spec(load_document(path, display_name(path))).tree
    if tree is None:
        raise UsageError(f"'{path}' has nothing to show")
    click.echo(
        json.dumps(catalogue.composed_data(tree), indent=1) if as_json else "\n".join(catalogue.composed_text(tree))
    )
    return 0


@cli.command(context_settings=_CONTEXT)
@click.argument("kind", type=click.Choice(["spec", "family", "tasks", "build"]), default="spec")
@click.option("--markdown", is_flag=True, help="Print the reference page of all documents instead.")
def schema(kind: str, markdown: bool) -> int:
    """Print the JSON Schema of specs, families, tasks or build files as one self-contained document."""
    from exporter.report.manual import schema_page
    from exporter.schema import bundle_schema

    click.echo(
        schema_page() if markdown else json.dumps(bundle_schema(kind), indent=2, ensure_ascii=False) + "\n", nl=False
    )
    return 0


@cli.command(context_settings=_CONTEXT)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option(
    "--models",
    is_flag=True,
    help="Also build each reference and compare the spec with what the model does. Imports PyTorch.",
)
@click.option("--fix", is_flag=True, help="Apply the safe fixes to the files.")
@click.option("--diff", is_flag=True, help="Print what --fix would change, and change nothing.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    show_default=True,
    help="How findings are printed.",
)
@click.option(
    "--select",
    multiple=True,
    metavar="RULE",
    help="Run these rules only: a name, a code, or the start of codes (EXP5). May be given several times.",
)
@click.option("--ignore", multiple=True, metavar="RULE", help="Leave these rules out.")
def lint(
    paths: tuple[str, ...],
    models: bool,
    fix: bool,
    diff: bool,
    style: str,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
) -> int:
    """Check specs, families and build files. Without PATH: the directory 'specs'.

    Every finding has its place, the rule, and what to do about it; 'exporter explain RULE' says more. Exit code 1 means that something was found.

    \b
        exporter lint specs
        exporter lint specs/my-model.yaml --models
        exporter lint specs --format github
    """
    from exporter.linting import diff_fixes, fix_files, lint_paths
    from exporter.report import machine, text

    if fix and diff:
        raise UsageError("--fix changes the files and --diff does not", help="give one of them")
    chosen = paths or (("specs",) if Path("specs").is_dir() else ())
    if not chosen:
        raise UsageError(
            "there is no directory 'specs' here", help="name the specs to lint: exporter lint path/to/specs"
        )

    def run() -> Any:
        return lint_paths(
            chosen, models=models, select=select, ignore=ignore, progress=_say_where if models else lambda _: None
        )

    result, fixed = fix_files(run) if fix else (run(), 0)
    if diff:
        click.echo("".join(diff_fixes(result)), nl=False)
        return 0 if result.passed else 1
    renderers = {
        "json": machine.diagnostics_json,
        "sarif": machine.diagnostics_sarif,
        "github": machine.diagnostics_github,
    }
    if style != "text":
        rendered = renderers[style](result.diagnostics)
        click.echo(rendered + "\n" if rendered else "", nl=False)
    else:
        if result.diagnostics:
            click.echo(text.render_diagnostics(result.diagnostics, color=sys.stdout.isatty()) + "\n")
        click.echo((f"{fixed} fixed; " if fixed else "") + text.render_summary(result.diagnostics, len(result.files)))
    return 0 if result.passed else 1


def _say_where(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[Kexamining {text}", err=True, nl=False)


@cli.command(context_settings=_CONTEXT)
@click.argument("rule", required=False)
@click.option("--markdown", is_flag=True, help="Print the page of all rules.")
def explain(rule: str | None, markdown: bool) -> int:
    """Say what a lint rule looks for, why, and what to write instead. Without RULE: list them."""
    from exporter.report import manual

    click.echo(
        manual.rules_page() if markdown else (manual.explain_rule(rule) if rule else manual.list_rules()) + "\n",
        nl=False,
    )
    return 0


@cli.command(context_settings=_CONTEXT)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--model",
    "-m",
    metavar="DIR|HUB_ID",
    help="Compare beside this checkpoint, with new inputs, instead of on the golden vectors.",
)
@click.option(
    "--framework",
    type=click.Choice(["pt", "tf", "flax"]),
    help="Whose weights to take where the checkpoint holds several.",
)
@click.option("--trust-remote-code", is_flag=True, help="Let the checkpoint run Python code of its own.")
@click.option("--atol", type=click.FloatRange(min=0), metavar="X", help="Absolute tolerance. Default: the manifest's.")
@click.option("--rtol", type=click.FloatRange(min=0), metavar="X", help="Relative tolerance. Default: the manifest's.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify(
    directory: Path,
    model: str | None,
    framework: str | None,
    trust_remote_code: bool,
    atol: float | None,
    rtol: float | None,
    as_json: bool,
) -> int:
    """Verify an artifact again: its files, its structure and its numbers.

    Without --model it runs on the golden vectors in the artifact and needs neither PyTorch nor the checkpoint.
    """
    from exporter import api

    report = api.verify(
        directory, model=model, framework=framework, trust_remote_code=trust_remote_code, atol=atol, rtol=rtol
    )
    if as_json:
        click.echo(json.dumps(report.to_data(), indent=1))
        return 0 if report.passed else 1
    for line in report.failures():
        click.echo(f"error: {line}", err=True)
    for (graph, output), worst in report.worst().items():
        click.echo(
            f"{graph}  {output}  max difference {worst.max_abs:.1e}, {worst.share:.0%} of its bound, at {worst.point}"
        )
    if report.passed:
        click.echo(
            f"verified in {report.runtime}: {len(report.comparisons)} comparisons, atol {report.atol:.1e}, rtol {report.rtol:.1e}"
        )
    return 0 if report.passed else 1


if __name__ == "__main__":
    main()

"""The group of commands, and how an error becomes an exit code.

Exit codes: 0 good; 1 findings, a failed build or a failed verification; 2 wrong usage; 3 a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from typing import NoReturn

import click

import exporter
from exporter.cli import building, linting, looking
from exporter.errors import ExporterError
from exporter.language.diagnostics import SpecError


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
        from exporter.cli.render.text import render_diagnostics

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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(exporter.__version__, prog_name="exporter")
def cli() -> None:
    """Turn Hugging Face Transformers checkpoints into verified graphs: ONNX, TorchScript, torch.export, AWS Neuron, OpenVINO.

    An architecture is described by one YAML spec. Build it as it is to check the spec on a tiny model with random
    weights, or give a checkpoint:

    \b
        exporter build specs/my-model.yaml            the reference of an architecture, offline
        exporter build --model ./my-checkpoint -o out a checkpoint, its spec and task found from its config
        exporter verify out                           check an artifact again, without PyTorch
        exporter lint specs                           check specs, with carets under what is wrong
    """


for command in (*building.COMMANDS, *looking.COMMANDS, *linting.COMMANDS):
    cli.add_command(command)

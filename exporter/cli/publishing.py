"""The command that publishes: `push`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exporter.cli.answer import Answer, json_option
from exporter.cli.color import is_live
from exporter.cli.manner import Manner
from exporter.cli.progress import Display


@click.command
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("name", metavar="[OWNER/]NAME")
@click.option("--private", is_flag=True, default=None, help="Make a repository that its owner alone sees.")
@click.option("--revision", metavar="BRANCH", help="Branch to publish on, made where it is not there. Default: main.")
@click.option("--message", metavar="TEXT", help="Subject of the commit. Default: one that names exporter.")
@click.option(
    "--token",
    metavar="TOKEN",
    help="Token of the Hub. Default: HF_TOKEN, or what 'hf auth login' stored, which other users of this machine "
    "do not see among the running commands.",
)
@click.option("--dry-run", is_flag=True, help="List what would be sent, with sizes, and ask the Hub nothing.")
@json_option("what was published")
def push(directory: Path, name: str, dry_run: bool, as_json: bool, **options: Any) -> int:
    """Publish an artifact on the Hub.

    DIRECTORY is one that 'exporter build' wrote, and every file in it must be as it was built; the card, README.md, may
    be edited. NAME is the repository, which is made where it is not there. All goes up in one commit: an upload that
    breaks off leaves the repository as it was.

    \b
        exporter push out me/my-model-onnx --dry-run
        exporter push out me/my-model-onnx --private
    """
    from exporter import api

    api.check_publishing()
    _hide_bars()
    with Display() as display:

        def show(text: str) -> None:
            display.show(text)
            if not is_live() and not Manner.current().verbose:
                display.tell(f"{text} …")

        publication = api.push(directory, name, dry_run=dry_run, progress=show, **options)
    if as_json:
        from exporter import records

        return Answer.current().give(**records.to_data(publication), dry_run=dry_run)
    if Manner.current().quiet:
        for url in filter(None, [publication.url]):
            click.echo(url)
        return 0
    size = max(map(len, publication.files))
    for file, number in publication.files.items():
        click.echo(f"  {file:<{size}}  {number:>14,} bytes")
    for file in publication.left:
        click.echo(f"  {file}: not sent, since the manifest does not name it")
    total = sum(publication.files.values())
    where = f"{publication.repository}, branch {publication.revision}"
    click.echo(f"{len(publication.files)} files, {total / 1e6:,.1f} MB, {'for' if dry_run else 'are on'} {where}")
    if publication.url is not None:
        click.echo(publication.url)
    return 0


def _hide_bars() -> None:
    """Hide the bars of huggingface_hub, which would be drawn over ours."""
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()


COMMANDS = (push,)

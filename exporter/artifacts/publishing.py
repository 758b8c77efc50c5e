"""Publish an artifact on a hub: look that it is whole, then send it in one commit.

What the manifest names goes up, with the manifest and the card, and nothing else that lies in the directory. A commit
is one step on the hub: an upload that breaks off leaves the repository as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from exporter.artifacts.manifest import CARD, MANIFEST, changed_files, check_files, read_manifest, read_plan
from exporter.artifacts.manifest import unnamed_files as find_unnamed
from exporter.errors import ExporterError, PublishError, UsageError, first_line, some
from exporter.steps import Progress
from exporter.versions import installed_version

_MAIN = "main"
_LOG_IN = "run 'hf auth login', set HF_TOKEN, or give --token"
_UNAUTHENTICATED, _FORBIDDEN, _CONFLICT, _TOO_LARGE = 401, 403, 409, 413


@dataclass(frozen=True, slots=True)
class Place:
    """Where an artifact goes on a hub.

    Attributes:
        name: the repository: ``NAME`` of the user's own, or ``OWNER/NAME``.
        private: whether only its owner may see it. A repository that is there and public is then refused.
        revision: the branch, made where it is not there.
        message: the subject of the commit.
        token: what proves who publishes; None for the one that was stored. It is in no text of this object.
    """

    name: str
    private: bool = False
    revision: str | None = None
    message: str | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published, or would be.

    Attributes:
        repository: its name on the hub.
        revision: the branch.
        files: what is sent, with the size of each in bytes.
        left: files of the directory that are not sent, since the manifest does not name them.
        url: the page of the repository; None where nothing was sent.
        commit: the commit on the hub; None where nothing was sent.
    """

    repository: str
    revision: str
    files: Mapping[str, int]
    left: tuple[str, ...]
    url: str | None = None
    commit: str | None = None


def push_artifact(
    directory: Path, place: Place, *, dry_run: bool = False, progress: Progress = lambda _: None
) -> Publication:
    """Publish an artifact, or say what would be published.

    Args:
        directory: an artifact that a build wrote.
        place: where it goes.
        dry_run: whether to look only. The hub is not asked then.
        progress: told what is being done.

    Raises:
        UsageError: the directory is no artifact or not whole, the name or the branch is none, there is no token, the
            hub does not take it, or it gives no right to write there.
        PublishError: the hub cannot be reached, or it broke off.
    """
    progress("checking the files")
    files, left = find_files(directory)
    _check_place(place)
    publication = Publication(place.name, place.revision or _MAIN, files, left)
    if dry_run:
        return publication
    token = _find_token(place)
    with _explaining(place, token):
        return _send(directory, publication, place, token, progress)


def find_files(directory: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the files of an artifact that is whole, with their sizes, and the names of those that are none of it.

    Raises:
        UsageError: the directory is no artifact, or a file of it is not as it was built.
    """
    plan, manifest = read_plan(directory), read_manifest(directory)
    check_files(directory, manifest, plan)
    changed = list(changed_files(directory, manifest))
    if changed:
        raise UsageError(
            f"'{directory}' is not as it was built: {some(changed, 3)}",
            help="build it again; the card alone, README.md, may be edited",
        )
    names = [*manifest["files"], MANIFEST, *[CARD] * (directory / CARD).is_file()]
    sizes = {name: (directory / name).stat().st_size for name in sorted(names)}
    return sizes, tuple(find_unnamed(directory, manifest))


def _check_place(place: Place) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(place.name)
        if not place.name:
            raise HFValidationError("it is empty")
    except HFValidationError as error:
        raise UsageError(
            f"'{place.name:.100}' is no name of a repository: {first_line(error)}",
            help="give NAME, or OWNER/NAME, of letters, digits, '-', '_' and '.'",
        ) from None
    revision = place.revision
    if revision is not None and (not revision or revision.startswith(("-", "/")) or not _is_branch(revision)):
        raise UsageError(f"'{revision:.100}' is no name of a branch", help="give a plain word, such as onnx")


def _is_branch(name: str) -> bool:
    """Tell whether git takes a name for a branch, and it stands for no commit and no pull request."""
    odd = any(char.isspace() or not char.isprintable() or char in "~^:?*[\\" for char in name)
    return not odd and ".." not in name and not name.endswith((".lock", "/", ".")) and not name.startswith("refs/")


def _find_token(place: Place) -> str:
    from huggingface_hub import get_token

    token = place.token or get_token()
    if not token:
        raise UsageError("publishing needs a token of the hub, and there is none", help=_LOG_IN)
    if not token.isprintable() or not token.isascii() or " " in token:
        raise UsageError("the token has characters that no token has", help=_LOG_IN)
    return token


def _send(directory: Path, publication: Publication, place: Place, token: str, progress: Progress) -> Publication:
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(token=token, library_name="exporter", library_version=installed_version())
    progress("making the repository")
    repository = api.create_repo(place.name, private=True if place.private else None, exist_ok=True).repo_id
    if place.private and not api.repo_info(repository).private:
        raise UsageError(
            f"'{repository}' is there already, and everybody can see it",
            help="make it private in its settings on the hub, or leave --private out",
        )
    if publication.revision != _MAIN:
        api.create_branch(repository, branch=publication.revision, exist_ok=True)
    size = sum(publication.files.values())
    progress(f"sending {len(publication.files)} files, {size / 1e6:,.1f} MB")
    commit = api.create_commit(
        repository,
        [CommitOperationAdd(name, str(directory / name)) for name in publication.files],
        commit_message=place.message or "Publish a graph made with exporter",
        revision=publication.revision,
    )
    return Publication(
        repository,
        publication.revision,
        publication.files,
        publication.left,
        f"{api.endpoint}/{repository}",
        commit.oid,
    )


@contextmanager
def _explaining(place: Place, token: str) -> Iterator[None]:
    """Tell what a hub answers in the terms of its user, without the token."""
    try:
        yield
    except ExporterError:
        raise
    except Exception as error:
        _explain(error, place, token)


def _explain(error: Exception, place: Place, token: str) -> NoReturn:
    from huggingface_hub import errors

    # The client library has changed its name before: its errors are those the hub's library derives its own from.
    transport = errors.HTTPError  # type: ignore[attr-defined]
    chain = list(_chain(error))
    answered = next((link for link in chain if isinstance(link, errors.HfHubHTTPError)), None)
    said = first_line(str(_server_message(answered) or error).replace(token, "***"))
    status = getattr(getattr(answered, "response", None), "status_code", None)
    if status == _UNAUTHENTICATED:
        raise UsageError("the hub does not take the token: it is wrong, or no longer valid", help=_LOG_IN) from None
    if status == _FORBIDDEN:
        raise UsageError(
            f"the token gives no right to write to '{place.name}': {said}",
            help="check the owner's name, and give a token with the right to write",
        ) from None
    if isinstance(answered, errors.RevisionNotFoundError):
        raise UsageError(f"'{place.name}' has no branch '{place.revision}'", help="give another --revision") from None
    if isinstance(answered, errors.RepositoryNotFoundError):
        raise UsageError(f"the hub has no repository '{place.name}', and made none", help="check the name") from None
    if any(isinstance(link, errors.OfflineModeIsEnabled) for link in chain):
        raise PublishError("the hub is not asked: HF_HUB_OFFLINE is set", help="unset it to publish") from None
    if status is None and any(isinstance(link, (transport, ConnectionError)) for link in chain):
        raise PublishError(
            f"the hub cannot be reached, or broke off: {said}",
            help="check the network (HF_ENDPOINT), and push again: nothing was published, or all of it",
        ) from None
    raise PublishError(
        f"the hub refused the artifact{f' ({status})' if status else ''}: {said}",
        help="push again: nothing was published. What was sent is not sent twice" if status != _TOO_LARGE else None,
    ) from None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _server_message(error: Any) -> str | None:
    """Return what a hub said of its refusal, if it said anything."""
    message = getattr(error, "server_message", None)
    return message if isinstance(message, str) and message.strip() else None

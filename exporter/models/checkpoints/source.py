"""A checkpoint that is asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint that is asked for, and how it is to be taken.

    Attributes:
        name: a directory, or a hub id such as ``organization/model``.
        revision: the branch, tag or commit of a hub id.
        subfolder: the folder of the checkpoint inside that directory or hub id, such as ``unet/final``.
        framework: whose weights to take where there are several: ``pt``, ``tf`` or ``flax``. Default: the first of
            these that the checkpoint has.
        cache_dir: where downloads are kept. Default: the cache of Hugging Face's libraries.
        trust_remote_code: fetch the Python files of the checkpoint too, and let them run.
    """

    name: str
    revision: str | None = None
    framework: str | None = None
    cache_dir: str | None = None
    trust_remote_code: bool = False
    subfolder: str | None = None

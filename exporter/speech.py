"""Whether libraries are let speak: ``-v`` asks for what they log and warn of, which is kept back else.

The command and its workers are processes of their own, so that it is a variable of the environment.
"""

from __future__ import annotations

import os

_VARIABLE = "EXPORTER_VERBOSE"


def let_libraries_speak(*, spoken: bool) -> None:
    """Let libraries speak in this process and those that it starts, or keep back what they say."""
    if spoken:
        os.environ[_VARIABLE] = "1"
    else:
        os.environ.pop(_VARIABLE, None)


def libraries_speak() -> bool:
    """Tell whether what libraries log and warn of is asked for."""
    return os.environ.get(_VARIABLE) == "1"

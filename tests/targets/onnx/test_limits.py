"""A file is opened without what it takes to write one."""

from __future__ import annotations

import subprocess
import sys

import onnx
from commands import offline_environment

from exporter.targets.onnx.limits import EMBEDDED_LIMIT


def test_the_weights_of_a_message_leave_room_for_its_graph():
    assert EMBEDDED_LIMIT < onnx.checker.MAXIMUM_PROTOBUF
    assert EMBEDDED_LIMIT > 0.9 * onnx.checker.MAXIMUM_PROTOBUF


def test_a_session_is_opened_without_what_records_a_graph():
    script = (
        "import sys\nfrom exporter.targets.onnx import session, structure\n"
        "print([name for name in ('torch', 'transformers', 'onnxscript', 'onnx_ir') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=offline_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"

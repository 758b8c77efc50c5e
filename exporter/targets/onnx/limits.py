"""The limits of an ONNX file, for those who write it and those who open it, who need nothing that writes."""

from __future__ import annotations

# A protobuf message ends at 2 GiB, and the graph itself needs some of it: more weights than this go beside the file.
EMBEDDED_LIMIT = (1 << 31) - (1 << 26)

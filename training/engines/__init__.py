"""What measures pictures and faces, behind one small interface. Stage 5."""

import os

# onnxruntime 1.31 reports home unless told otherwise before it is imported. Nothing about people's
# pictures leaves this machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

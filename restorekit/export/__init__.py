"""Models as ONNX files, each proven against PyTorch before it is written. Importing this does not import torch."""

from restorekit.export.checking import Check
from restorekit.export.exporting import Exported, export

__all__ = ["Check", "Exported", "export"]

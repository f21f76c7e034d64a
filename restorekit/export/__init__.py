"""Models as ONNX files, each proven against PyTorch before it is written. Importing this does not import torch."""

from restorekit.export.exporting import Check, Exported, export

__all__ = ["Check", "Exported", "export"]

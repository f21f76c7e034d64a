"""The door: what ``restorekit`` on the command line leads to. It starts fast and computes nothing itself."""

from __future__ import annotations

import os
import sys
import warnings

__all__ = ["main"]


def main() -> None:
    """Run the command in ``sys.argv``; exits with 0 if all went well, 1 if some work failed, 2 if the command cannot be right."""
    if sys.argv[1:] == ["--version"]:
        from restorekit import __version__

        print(f"restorekit {__version__}")
        return
    from restorekit.cli.shell import arguments, of_full_output, prepare_stdout

    prepare_stdout()
    warnings.filterwarnings("ignore", module="PIL")  # of damaged EXIF, which is nothing a user can act on
    # Nor is what PyTorch advises programmers, at the first step of a training with several processes.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        from restorekit.cli.app import app

        # patterns are for the commands, which know what of a folder is meant, and $ may be part of a value
        app(args=arguments(), prog_name="restorekit", windows_expand_args=False)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # of --help: commands tell their own
        if not (told := of_full_output(error)):
            raise
        print(f"restorekit: {told}", file=sys.stderr)
        sys.exit(1)

"""``python -m restorekit`` is ``restorekit``."""

from restorekit.cli import main

if __name__ == "__main__":
    main()

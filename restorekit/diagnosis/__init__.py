"""Looking at a photograph before anything is done to it: small classical estimates, without torch, in about a second.

Each estimate is a function of arrays in [0, 1] in a file of its own; :func:`diagnose` takes a photograph of any size, and
:class:`Diagnosis` says what it found.
"""

from restorekit.diagnosis.diagnosis import Diagnosis, Finding, Measure, diagnose
from restorekit.diagnosis.falling import Falling

__all__ = ["Diagnosis", "Falling", "Finding", "Measure", "diagnose"]

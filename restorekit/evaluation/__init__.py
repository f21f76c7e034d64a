"""How near restored images come to what they should be: pairs, scores, and a report that names its protocol."""

from restorekit.evaluation.pairs import Pair, check_pairs, find_pairs
from restorekit.evaluation.protocol import Protocol
from restorekit.evaluation.report import Report, Score, Summary, Table
from restorekit.evaluation.score import Picture, Progress, evaluate, evaluate_pairs, score_pair

__all__ = [
    "Pair",
    "Picture",
    "Progress",
    "Protocol",
    "Report",
    "Score",
    "Summary",
    "Table",
    "check_pairs",
    "evaluate",
    "evaluate_pairs",
    "find_pairs",
    "score_pair",
]

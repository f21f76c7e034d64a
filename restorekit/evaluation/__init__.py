"""How near restored images come to what they should be: subjects, pairs, scores, and reports that name their protocol."""

from restorekit.evaluation.alignment import Alignment
from restorekit.evaluation.baselines import BASELINES, apply_baseline
from restorekit.evaluation.bootstrap import Difference, paired_difference
from restorekit.evaluation.depth import evaluate_depth
from restorekit.evaluation.gallery import Exhibit, Gallery, Policy, Showcase
from restorekit.evaluation.measures import METRICS, Metric, Scale, get_metric, scale_of
from restorekit.evaluation.page import comparison_page, report_page, write_text
from restorekit.evaluation.pairs import Pair, check_pairs, find_layout_pairs, find_pairs
from restorekit.evaluation.protocol import (
    DEPTH_PROTOCOLS,
    PROTOCOLS,
    Bundle,
    DepthProtocol,
    Protocol,
    get_depth_protocol,
    get_protocol,
)
from restorekit.evaluation.report import Candidates, Report, Score, Summary
from restorekit.evaluation.score import Progress, evaluate, evaluate_files, evaluate_samples, score_pair
from restorekit.evaluation.subjects import (
    INPUT,
    RESTORED,
    Answer,
    Picture,
    Sample,
    Subject,
    as_it_is,
    check_subjects,
    from_baseline,
    from_contest,
    from_restorer,
)
from restorekit.images.depth_maps import read_depth

__all__ = [
    "BASELINES",
    "DEPTH_PROTOCOLS",
    "INPUT",
    "METRICS",
    "PROTOCOLS",
    "RESTORED",
    "Alignment",
    "Answer",
    "Bundle",
    "Candidates",
    "DepthProtocol",
    "Difference",
    "Exhibit",
    "Gallery",
    "Metric",
    "Pair",
    "Picture",
    "Policy",
    "Progress",
    "Protocol",
    "Report",
    "Sample",
    "Scale",
    "Score",
    "Showcase",
    "Subject",
    "Summary",
    "apply_baseline",
    "as_it_is",
    "check_pairs",
    "check_subjects",
    "comparison_page",
    "evaluate",
    "evaluate_depth",
    "evaluate_files",
    "evaluate_samples",
    "find_layout_pairs",
    "find_pairs",
    "from_baseline",
    "from_contest",
    "from_restorer",
    "get_depth_protocol",
    "get_metric",
    "get_protocol",
    "paired_difference",
    "read_depth",
    "report_page",
    "scale_of",
    "score_pair",
    "write_text",
]

"""The table of all detection methods by name; `engine.app`, `engine.cli` and the tests hand it on.

A detector is added by its file, one line here, and its twin test.
"""

from typing import Any

from engine.detectors.absence import Absence
from engine.detectors.accuracy import Accuracy
from engine.detectors.adwin import Adwin
from engine.detectors.bernoulli_cusum import BernoulliCusum
from engine.detectors.canary import Canary
from engine.detectors.contract import Detector, DetectorTable
from engine.detectors.count import Count
from engine.detectors.cusum import Cusum
from engine.detectors.distinct import Distinct
from engine.detectors.drought import Drought
from engine.detectors.egress import Egress
from engine.detectors.ewma import Ewma
from engine.detectors.fairness import Fairness
from engine.detectors.first_seen import FirstSeen
from engine.detectors.gradient_norm import GradientNorm
from engine.detectors.hash import Hash
from engine.detectors.injection import Injection
from engine.detectors.js import Js
from engine.detectors.ks import Ks
from engine.detectors.largest import Max
from engine.detectors.likelihood import Likelihood
from engine.detectors.loss_spike import LossSpike
from engine.detectors.mahalanobis import Mahalanobis
from engine.detectors.mean import Mean
from engine.detectors.nan import Nan
from engine.detectors.page_hinkley import PageHinkley
from engine.detectors.pca import Pca
from engine.detectors.pii import Pii
from engine.detectors.psi import Psi
from engine.detectors.quantile import Quantile
from engine.detectors.query_similarity import QuerySimilarity
from engine.detectors.query_spread import QuerySpread
from engine.detectors.ratio import Ratio
from engine.detectors.repetition import Repetition
from engine.detectors.robust_z import RobustZ
from engine.detectors.seasonal import Seasonal
from engine.detectors.smallest import Min
from engine.detectors.spot import Spot
from engine.detectors.sum import Sum
from engine.detectors.surge import Surge
from engine.detectors.threshold import Threshold
from engine.detectors.wilson import Wilson

_CLASSES: tuple[type[Detector[Any]], ...] = (
    Absence,
    Accuracy,
    Adwin,
    BernoulliCusum,
    Canary,
    Count,
    Cusum,
    Distinct,
    Drought,
    Egress,
    Ewma,
    Fairness,
    FirstSeen,
    GradientNorm,
    Hash,
    Injection,
    Js,
    Ks,
    Likelihood,
    LossSpike,
    Mahalanobis,
    Max,
    Mean,
    Min,
    Nan,
    PageHinkley,
    Pca,
    Pii,
    Psi,
    Quantile,
    QuerySimilarity,
    QuerySpread,
    Ratio,
    Repetition,
    RobustZ,
    Seasonal,
    Spot,
    Sum,
    Surge,
    Threshold,
    Wilson,
)

DETECTORS = DetectorTable(methods={each.method: each for each in _CLASSES})
"""The detectors by method name."""

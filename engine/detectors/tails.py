"""Tail probabilities that numpy has not: counts and squared distances to how rare they are. Used by `surge`, `drought`,
`mahalanobis` and `pca`."""

import math

FRACTION_STEPS_MAX = 5_000
PRECISION = 1e-12
SHAPE_MAX = 1e4
"""Counts are taken as at least a little overdispersed: variance >= mean + mean² / 10,000."""
COUNT_MAX = 10**9


def at_least(count: int, *, mean: float, variance: float) -> float:
    """P(X >= count) of a negative binomial X with this mean and variance; near Poisson where they are about equal."""
    if count <= 0:
        return 1.0
    shape = _shape(mean, variance)
    return _beta_share(mean / (mean + shape), float(count), shape)


def at_most(count: int, *, mean: float, variance: float) -> float:
    """P(X <= count) of the same."""
    if count < 0:
        return 0.0
    shape = _shape(mean, variance)
    return _beta_share(shape / (mean + shape), shape, count + 1.0)


def surge_from(probability: float, *, mean: float, variance: float) -> int:
    """The smallest count with P(X >= count) < probability; mean > 0."""
    low, high = 0, max(1, math.ceil(mean))
    while at_least(high, mean=mean, variance=variance) >= probability and high < COUNT_MAX:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if at_least(middle, mean=mean, variance=variance) < probability:
            high = middle
        else:
            low = middle
    return high


def drought_from(probability: float, *, mean: float, variance: float) -> int:
    """The largest count with P(X <= count) < probability, or -1 where even none is not that rare; mean > 0."""
    low, high = -1, math.ceil(mean)
    while high - low > 1:
        middle = (low + high) // 2
        if at_most(middle, mean=mean, variance=variance) < probability:
            low = middle
        else:
            high = middle
    return low


def chi_square_deviations(square: float, degrees: float) -> float:
    """A chi-square value as deviations of a normal (Wilson and Hilferty 1931): so that a bound fits any dimension."""
    spread = 2.0 / (9.0 * degrees)
    return float(((max(square, 0.0) / degrees) ** (1.0 / 3.0) - (1.0 - spread)) / math.sqrt(spread))


def _shape(mean: float, variance: float) -> float:
    return min(mean * mean / max(variance - mean, 1e-300), SHAPE_MAX)


def _beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz), a, b > 0, 0 <= x <= 1."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta_share(1.0 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x) - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)
    c, d = 1.0, 1.0 / _safe(1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for step in range(1, FRACTION_STEPS_MAX):
        double = a + 2.0 * step
        even = step * (b - step) * x / ((double - 1.0) * double)
        d, c = 1.0 / _safe(1.0 + even * d), _safe(1.0 + even / c)
        fraction *= d * c
        odd = -(a + step) * (a + b + step) * x / (double * (double + 1.0))
        d, c = 1.0 / _safe(1.0 + odd * d), _safe(1.0 + odd / c)
        fraction *= d * c
        if abs(d * c - 1.0) < PRECISION:
            break
    return min(1.0, math.exp(front) * fraction / a)


def _safe(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300

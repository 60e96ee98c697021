"""engine/detectors/tails.py: tails of counts against sums of their probabilities."""

import math

import pytest

from engine.detectors.tails import at_least, at_most, chi_square_deviations, drought_from, surge_from


def mass(count, mean, variance):
    """The negative binomial probability of one count, from its definition."""
    shape = mean**2 / (variance - mean)
    log = math.lgamma(count + shape) - math.lgamma(shape) - math.lgamma(count + 1)
    return math.exp(log + shape * math.log(shape / (shape + mean)) + count * math.log(mean / (shape + mean)))


@pytest.mark.parametrize(("mean", "variance"), [(3.0, 12.0), (40.0, 400.0), (0.5, 0.6), (500.0, 20_000.0)])
def test_tails_are_the_sums_of_the_probabilities(mean, variance):
    """P(X >= n) and P(X <= n) agree with summing term by term, far into the tail."""
    for count in (0, 1, int(mean), int(2 * mean) + 3, int(4 * mean) + 9):
        below = math.fsum(mass(each, mean, variance) for each in range(count))
        beyond = math.fsum(mass(each, mean, variance) for each in range(count, count + int(60 * mean) + 400))
        assert at_least(count, mean=mean, variance=variance) == pytest.approx(beyond, rel=1e-6)
        assert at_most(count - 1, mean=mean, variance=variance) == pytest.approx(below, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize(("mean", "variance"), [(3.0, 12.0), (40.0, 400.0), (40.0, 40.0), (9.0, 1.0)])
@pytest.mark.parametrize("probability", [1e-3, 1e-6, 1e-9])
def test_the_critical_counts_are_the_first_that_are_rare_enough(mean, variance, probability):
    """One count nearer to the mean is not rare enough any more."""
    high = surge_from(probability, mean=mean, variance=variance)
    assert at_least(high, mean=mean, variance=variance) < probability
    assert at_least(high - 1, mean=mean, variance=variance) >= probability
    low = drought_from(probability, mean=mean, variance=variance)
    assert low < 0 or at_most(low, mean=mean, variance=variance) < probability
    assert at_most(low + 1, mean=mean, variance=variance) >= probability


def test_a_square_at_its_mean_is_no_deviation():
    """Known quantiles of chi-square: the median near zero, the 99.9 % quantile near 3.09."""
    assert chi_square_deviations(9.342, 10.0) == pytest.approx(0.0, abs=0.01)
    assert chi_square_deviations(29.588, 10.0) == pytest.approx(3.09, abs=0.02)

"""How fast a noisy course falls: the exponent of its running mean, with an interval and a guard against pure noise."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

N_POINTS = 40
"""Epochs the line is fitted to, evenly spread on a logarithmic axis."""
BLOCK = 10
"""Epochs that are resampled together."""
REACH = 0.25
"""How far from its place, as a share of it, a block may come from: the course falls, so only neighbours are alike."""
RESAMPLES = 1000
CLEAR = 3.0
"""Standard errors of the measurement that a running mean must be above zero by, to count as measured."""


@dataclass(frozen=True)
class Exponent:
    """The exponent and its 95 % interval."""

    value: float
    low: float
    high: float


def running_mean(course: Floats) -> Floats:
    """Mean of the first t values along the last axis, for every t."""
    return np.asarray(np.cumsum(course, axis=-1) / np.arange(1, course.shape[-1] + 1))


def fit(mean: Floats, first: int) -> Floats:
    """Least-squares slope of log(mean) on log(epoch), from epoch ``first`` to the last.

    Args:
        mean: Running means, ``[..., T]``; NaN comes out where one is not positive.
        first: First epoch of the window, counted from 1.

    Returns:
        Slopes, ``[...]``.
    """
    epochs = fitted_epochs(mean.shape[-1], first)
    x = np.log(epochs)
    x = x - x.mean()
    points = mean[..., epochs - 1]
    y = np.log(np.where(points > 0, points, np.nan))
    return np.asarray(y @ x / (x @ x))


def fitted_epochs(last: int, first: int) -> npt.NDArray[np.int64]:
    """The distinct epochs of the fit, counted from 1."""
    return np.unique(np.geomspace(first, last, N_POINTS).round().astype(np.int64))


def is_measured(course: Floats, standard_error: Floats, first: int) -> bool:
    """Whether the running mean is clearly above zero all through the window.

    The running mean of noise around zero falls as 1/√t by itself, which must not pass for convergence.

    Args:
        course: Unbiased squared norms, ``[T]``.
        standard_error: Of each, ``[T]``.
        first: First epoch of the window.
    """
    error = np.sqrt(np.cumsum(standard_error**2)) / np.arange(1, len(course) + 1)
    return bool((running_mean(course) > CLEAR * error)[first - 1 :].all())


def exponent(courses: Floats, first: int, rng: np.random.Generator) -> Exponent | None:
    """Exponent of the running mean of the mean course, with a bootstrap interval over courses and epochs.

    A resample draws courses with replacement and, in each, blocks of epochs from near where they stand (the local block
    bootstrap), which keeps both the fall and the dependence between neighbours.

    Args:
        courses: Squared norms, ``[n_courses, T]``.
        first: First epoch of the fit.
        rng: Source of resamples.

    Returns:
        None where the running mean, or more than a twentieth of its resamples, are not positive.

    References:
        Paparoditis and Politis, Local block bootstrap, C. R. Acad. Sci. Paris 335 (2002).
    """
    value = float(fit(running_mean(courses.mean(axis=0)), first))
    resampled = np.stack([_resample(courses, rng) for _ in range(RESAMPLES)])
    slopes = fit(running_mean(resampled), first)
    usable = slopes[np.isfinite(slopes)]
    if not np.isfinite(value) or len(usable) < 0.95 * RESAMPLES:
        return None
    low, high = np.quantile(usable, (0.025, 0.975))
    return Exponent(value, float(low), float(high))


def _resample(courses: Floats, rng: np.random.Generator) -> Floats:
    n_courses, length = courses.shape
    begins = np.arange(0, length, BLOCK)
    reach = REACH * begins
    total = np.zeros(length)
    for which in rng.integers(n_courses, size=n_courses):
        shift = np.rint(rng.uniform(-reach, reach)).astype(np.int64)
        places = np.arange(length) + np.repeat(shift, BLOCK)[:length]
        total += courses[which, np.where(places < length, places, 2 * (length - 1) - places)]
    return total / n_courses

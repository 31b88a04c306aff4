"""``make bench-convergence``: how fast the policy gradient of ``dconrec`` finds a stationary point → convergence.json.

In every outer epoch the squared norm of the gradient mapping (s − Π(s − ηg))/η is estimated without the noise's share;
the exponent is that of its running mean, fitted from epoch ``FIT_FROM`` on. docs/method.md tells what the theorem
promises and where practice departs. A row a seed, and one of all seeds together; ``--dataset`` measures a part.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.command_line import parser_of, run_main
from benchmarks.convergence_figure import write_figure
from benchmarks.convergence_problems import SETTINGS, Setting
from benchmarks.exponents import Floats, exponent, is_measured, running_mean
from benchmarks.policy_courses import ESTIMATORS, Enumerated, Estimator, Problem, descend
from benchmarks.results import Results, Row
from dconrec_core.rng import numpy_rng

COMMAND, FIT_FROM = "make bench-convergence", 10
KEPT_RATE = 0.5
"""First step size as a share of 1/L, L being the Lipschitz constant of the gradient."""
DRAWN = ("mapping_sq", "standard_error", "exact_sq")
"""What is kept of every epoch."""
NAMES = [estimator.name for estimator in ESTIMATORS]


def measure(setting: Setting, data: Path, estimator: Estimator, margin: float, seed: int) -> Row:
    """The course of one descent and its exponents."""
    problem = setting.build(data, seed, margin)
    rate = KEPT_RATE / (setting.smoothness or smoothness(problem))
    rng = numpy_rng(seed, "convergence", "masks")
    epochs = list(descend(problem, estimator, rate, setting.epochs, setting.n_samples, rng))
    course = {name: np.array([getattr(epoch, name) for epoch in epochs]) for name in vars(epochs[0])}
    row: Row = {
        "rate": rate,
        "n_free": len(problem.users),
        **summary(course["mapping_sq"][None], course["standard_error"][None]),
        **exact_summary(course["exact_sq"][None]),
        "noise_sq": float(course["noise_sq"].mean()),
        "standard_error": float(course["standard_error"].mean()),
        "first_loss": float(course["loss"][:10].mean()),
        "last_loss": float(course["loss"][-10:].mean()),
    }
    return row | {f"course_{name}": written(course[name]) for name in DRAWN if np.isfinite(course[name]).all()}


def pooled(rows: Sequence[Row]) -> Row:
    """The mean course of all seeds."""
    courses = {name: np.stack([read(row[name]) for row in rows]) for name in rows[0] if name.startswith("course_")}
    sq, error = courses["course_mapping_sq"], courses["course_standard_error"]
    unknown = np.full_like(sq, np.nan)
    means = {name: float(np.mean([row[name] for row in rows])) for name in ("rate", "noise_sq", "standard_error")}
    return {
        "n_seeds": len(rows),
        **summary(sq, error),
        **exact_summary(courses.get("course_exact_sq", unknown)),
        **means,
        **{name: written(values.mean(axis=0)) for name, values in courses.items()},
        "course_standard_error": written(np.sqrt(np.square(error).sum(axis=0)) / len(error)),
    }


def summary(courses: Floats, errors: Floats) -> Row:
    """Running means and the fitted exponent; the latter is null where the running mean is not clear of its noise."""
    mean = running_mean(courses.mean(axis=0))
    error = np.sqrt(np.square(errors).sum(axis=0)) / len(errors)
    measured = is_measured(courses.mean(axis=0), error, FIT_FROM)
    return {**_exponents(courses if measured else None, ""), "measured": measured, **_ends(mean, "")}


def exact_summary(courses: Floats) -> Row:
    """The same of the exact gradient mapping, where it is known."""
    if not np.isfinite(courses).all():
        return {}
    return {**_exponents(courses, "exact_"), **_ends(running_mean(courses.mean(axis=0)), "exact_")}


def smoothness(problem: Problem) -> float:
    """Lipschitz constant of the gradient of an enumerated problem."""
    assert isinstance(problem, Enumerated)
    return problem.smoothness()


def written(course: Floats) -> str:
    """A course as one line of the file."""
    return " ".join(f"{value:.4g}" for value in course)


def read(course: str) -> Floats:
    """The inverse of ``written``."""
    return np.array(course.split(), dtype=np.float64)


def _exponents(courses: Floats | None, prefix: str) -> Row:
    found = None if courses is None else exponent(courses, FIT_FROM, np.random.default_rng(0))
    names = {"exponent": "value", "exponent_low": "low", "exponent_high": "high"}
    return {f"{prefix}{name}": None if found is None else getattr(found, field) for name, field in names.items()}


def _ends(mean: Floats, prefix: str) -> Row:
    return {f"{prefix}mean_first": float(mean[FIT_FROM - 1]), f"{prefix}mean_last": float(mean[-1])}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, print a line a row and draw the figure."""
    parser = parser_of("convergence", __doc__)
    datasets = list(dict.fromkeys(setting.dataset for setting in SETTINGS))
    parser.add_argument("--dataset", action="append", choices=datasets, help="only this one; may be repeated")
    parser.add_argument("--estimator", action="append", choices=NAMES, help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, action="append", help="only this seed; may be repeated")
    options = parser.parse_args(arguments)
    results = Results.named("convergence", COMMAND)
    for setting in (one for one in SETTINGS if one.dataset in (options.dataset or datasets)):
        for estimator in (one for one in setting.estimators if one.name in (options.estimator or NAMES)):
            for margin in setting.margins:
                seeds = [seed for seed in setting.seeds if seed in (options.seed or setting.seeds)]
                _measure_all(results, setting, options.data, estimator, margin, seeds)
    write_figure()


def _measure_all(
    results: Results, setting: Setting, data: Path, estimator: Estimator, margin: float, seeds: Sequence[int]
) -> None:
    case = {
        "dataset": setting.dataset,
        "estimator": estimator.name,
        "variance_reduction": estimator.baseline,
        "own_user": estimator.own_user,
        "margin": margin,
        "epochs": setting.epochs,
        "n_samples": 2 * setting.n_samples,
        "fit_from": FIT_FROM,
        "schedule": "rate/√t",
    }
    rows = []
    for seed in seeds:
        one = {**case, "seed": seed, "settings": {"smoothness": setting.smoothness}}
        rows.append(_told(results.row(one, partial(measure, setting, data, estimator, margin, seed))))
    if len(seeds) == len(setting.seeds):  # a part of them must not take the place of all
        together = {**case, "seed": "all", "settings": {"smoothness": setting.smoothness, "seeds": list(seeds)}}
        _told(results.row(together, partial(pooled, rows)))


def _told(row: Row) -> Row:
    spread = "" if row["exponent"] is None else f" [{row['exponent_low']:.2f}, {row['exponent_high']:.2f}]"
    value = "not measurable" if row["exponent"] is None else f"{row['exponent']:.2f}"
    exact = f", exact {row['exact_exponent']:.2f}" if "exact_exponent" in row else ""
    name = ", ".join(
        f"{what}{row[key]}"
        for what, key in (
            ("", "dataset"),
            ("", "estimator"),
            ("margin ", "margin"),
            ("K ", "n_samples"),
            ("seed ", "seed"),
        )
    )
    print(f"{name}: exponent {value}{spread}{exact}", flush=True)
    return row


if __name__ == "__main__":
    run_main(main)

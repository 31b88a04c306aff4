"""The convergence benchmark: its gradients against enumeration, its fit against planted exponents, its rows on disk."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import convergence, convergence_figure, tables
from benchmarks.convergence_problems import SETTINGS, enumerated
from benchmarks.exponents import CLEAR, Floats, exponent, fit, is_measured, running_mean
from benchmarks.policy_courses import ESTIMATORS, Enumerated, Estimator, Feasible, Problem, descend
from benchmarks.results import Results, read_rows
from dconrec_core.condensation.bernoulli import draw_masks

WITHOUT, WITH = ESTIMATORS[:2]


@pytest.fixture(scope="module")
def problem() -> Enumerated:
    found = enumerated(Path(), 0, 0.05)
    assert isinstance(found, Enumerated)
    return found


def objective(problem: Enumerated, keep_prob: Floats) -> float:
    return float(np.where(problem.masks, keep_prob, 1 - keep_prob).prod(axis=1) @ problem.total)


def inside(seed: int, size: int = 12) -> Floats:
    return np.random.default_rng(seed).uniform(0.1, 0.9, size)


def test_loss_of_the_enumerated_problem_is_a_function_of_the_mask_that_tells_masks_apart(problem):
    again = enumerated(Path(), 0, 0.05)
    np.testing.assert_array_equal(again.table, problem.table)
    assert problem.total.std() > 0.05 * problem.total.mean()
    np.testing.assert_array_equal(problem.losses(problem.masks), problem.table)


def test_exact_gradient_agrees_with_differences(problem):
    keep_prob, step = inside(1), 1e-5
    moved = [
        (objective(problem, keep_prob + d) - objective(problem, keep_prob - d)) / 2 / step for d in step * np.eye(12)
    ]
    np.testing.assert_allclose(problem.exact_gradient(keep_prob), moved, rtol=1e-5, atol=1e-8)


def test_exact_gradient_is_known_at_the_corners_too(problem):
    corner = (np.arange(12) % 2).astype(np.float64)
    loss = {place: float(problem.total[place]) for place in range(4096)}
    here = int(corner @ problem.place)
    expected = [(loss[here | bit] - loss[here & ~bit]) for bit in problem.place.tolist()]
    np.testing.assert_allclose(problem.exact_gradient(corner), expected, atol=1e-5)


def test_estimates_have_the_exact_gradient_as_their_mean_and_the_baseline_less_variance(problem):
    keep_prob, rng = inside(2), np.random.default_rng(3)
    variance = {}
    for estimator in (WITHOUT, WITH):
        draws = (draw_masks(keep_prob, 16, rng) for _ in range(3000))
        found = np.array([estimator.gradient(problem.losses(m), m, keep_prob, problem.users) for m in draws])
        error = found.mean(axis=0) - problem.exact_gradient(keep_prob)
        assert (abs(error) < 4.5 * found.std(axis=0) / len(found) ** 0.5).all()
        variance[estimator.name] = found.var(axis=0).sum()
    assert variance[WITH.name] < variance[WITHOUT.name] / 10


def test_smoothness_bounds_how_fast_the_gradient_changes(problem):
    largest = problem.smoothness()
    for seed in range(50):
        one, other = inside(seed), inside(seed + 100)
        change = np.linalg.norm(problem.exact_gradient(one) - problem.exact_gradient(other))
        assert change <= largest * np.linalg.norm(one - other)
    pair = np.zeros((4, 1))
    pair[3] = 2.0  # 2 m_1 m_2, whose Hessian is [[0, 2], [2, 0]]
    assert Enumerated(np.zeros(2, dtype=np.int32), Feasible(2, 1, 0), pair).smoothness() == pytest.approx(2)


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_no_feasible_point_is_nearer(margin):
    feasible, rng = Feasible(6, 2.0, margin), np.random.default_rng(0)
    values = rng.normal(0.4, 0.5, 6)
    found = feasible.project(values)
    assert found.min() >= margin - 1e-12
    assert found.max() <= 1 - margin + 1e-12
    assert found.sum() <= 2 + 1e-9
    others = margin + rng.random((2000, 6)) ** 2 * (1 - 2 * margin)
    others = others[others.sum(axis=1) <= 2]
    assert len(others) > 50
    assert (np.square(others - values).sum(axis=1) >= np.square(found - values).sum()).all()
    assert feasible.start().sum() == pytest.approx(2)


CENTRE = np.linspace(0.2, 0.6, 40)


@dataclass
class Box(Feasible):
    """From 0 to 1, with a start of one's own."""

    begin: Floats

    def project(self, keep_prob):
        return keep_prob.clip(0, 1)

    def start(self):
        return self.begin


class Silent(Problem):
    """No losses: the estimate below knows the gradient of ½‖s − centre‖² by itself."""

    def losses(self, masks):
        return np.zeros((len(masks), 1))

    def exact_gradient(self, keep_prob):
        return keep_prob - CENTRE


@dataclass(frozen=True)
class Quadratic(Estimator):
    """The gradient of ½‖s − centre‖² and noise; with no noise it falls by (1 − step)² an epoch."""

    rng: np.random.Generator
    noise: float = 0.0

    def gradient(self, losses, masks, keep_prob, users):
        return keep_prob - CENTRE + self.noise * self.rng.normal(size=len(CENTRE))


def quadratic(noise: float, rate: float, epochs: int, begin: Floats) -> Floats:
    silent = Silent(np.zeros(40, dtype=np.int32), Box(begin))
    estimator = Quadratic("", True, False, np.random.default_rng(1), noise)
    course = descend(silent, estimator, rate, epochs, 2, np.random.default_rng(2))
    return np.array([(epoch.mapping_sq, epoch.exact_sq) for epoch in course]).T


def test_descent_on_a_quadratic_hand_worked():
    left = np.cumprod([1.0, *(1 - 0.3 / np.sqrt(np.arange(1, 20)))])
    for course in quadratic(0, 0.3, 20, np.ones(40)):
        np.testing.assert_allclose(course, left**2 * np.square(1 - CENTRE).sum(), rtol=1e-9)


def test_noise_on_a_quadratic_lets_the_running_mean_fall_as_one_over_root_t():
    """Where noise holds the balance, E‖s − centre‖² is in proportion to the step size, rate/√t."""
    noise, rate, expected = 0.2, 0.5, [0.0]
    for step in rate / np.sqrt(np.arange(1, 4000)):
        expected.append((1 - step) ** 2 * expected[-1] + step**2 * 40 * noise**2 / 2)  # of the mean of two estimates
    found = exponent(quadratic(noise, rate, 4000, CENTRE)[1:], 10, np.random.default_rng(0))
    assert found is not None
    assert found.value == pytest.approx(float(fit(running_mean(np.array(expected)), 10)), abs=0.06)
    assert found.value == pytest.approx(-0.5, abs=0.12)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("planted", [-0.25, -0.5, -1.0])
def test_fit_recovers_a_planted_exponent(planted):
    epochs = np.arange(1, 501)
    total = epochs * epochs.astype(np.float64) ** planted
    course = np.diff(total, prepend=0)
    assert fit(running_mean(course), 10) == pytest.approx(planted)


def test_interval_holds_the_planted_exponent_and_narrows_with_more_courses():
    trend, rng = 0.5 * np.arange(1, 201) ** -0.5, np.random.default_rng(0)
    planted, widths = float(fit(running_mean(trend), 10)), {}
    for n_courses, tries in ((8, 20), (64, 1)):
        found = [exponent(trend * (1 + 0.5 * rng.normal(size=(n_courses, 200))), 10, rng) for _ in range(tries)]
        assert sum(one is not None and one.low < planted < one.high for one in found) >= 0.8 * tries
        widths[n_courses] = np.mean([one.high - one.low for one in found if one is not None])
    assert widths[64] < widths[8] / 2


def test_noise_around_zero_does_not_pass_for_convergence():
    """The running mean of noise that happens to begin above zero falls as 1/√t or faster."""
    noise = np.random.default_rng(5).normal(size=300)
    noise[:10] += 2
    assert fit(running_mean(noise + 0.1), 10) < -0.45
    assert not is_measured(noise + 0.1, np.ones(300), 10)
    assert is_measured(noise + CLEAR + 1, np.ones(300), 10)
    assert exponent(noise[None] - 5, 10, np.random.default_rng(0)) is None


def test_rows_are_written_a_seed_and_for_all_and_not_measured_twice(tmp_path, monkeypatch, capsys):
    path = tmp_path / "convergence.json"
    small = replace(SETTINGS[0], epochs=40, n_samples=32, seeds=(0, 1), margins=(0.05,))
    monkeypatch.setattr(convergence, "SETTINGS", (small,))
    monkeypatch.setattr(Results, "named", classmethod(lambda cls, name, command: cls(path, command)))
    monkeypatch.setattr(convergence_figure, "FOLDER", tmp_path)
    monkeypatch.setattr(convergence_figure, "PATH", tmp_path / "figures" / "convergence.svg")
    convergence.main(["--estimator", WITH.name])
    rows = read_rows(path)
    assert [row["seed"] for row in rows] == [0, 1, "all"]
    for row in rows:
        assert row["exponent_low"] < row["exponent_high"] < 0
        assert row["exponent"] < 0
        assert row["exact_exponent"] == pytest.approx(row["exponent"], abs=0.2)
        assert len(convergence.read(row["course_mapping_sq"])) == 40
    svg = (tmp_path / "figures" / "convergence.svg").read_bytes()
    assert WITH.name.encode() in svg
    monkeypatch.setattr(convergence, "measure", lambda *_: pytest.fail("measured again"))
    convergence.main(["--estimator", WITH.name])
    assert read_rows(path) == rows
    assert (tmp_path / "figures" / "convergence.svg").read_bytes() == svg
    assert "12 candidates, leave-one-out, margin 0.05, K 64, seed all: exponent -0." in capsys.readouterr().out


def test_table_hand_worked(monkeypatch):
    row = {
        "dataset": "ml-100k", "margin": 0.05, "estimator": "leave-one-out", "seed": "all", "n_seeds": 3,
        "noise_sq": 2.5, "mean_first": 3.25, "mean_last": 1.5, "exponent": -0.5, "exponent_low": -0.625,
        "exponent_high": -0.25, "fit_from": 10, "epochs": 60, "n_samples": 128,
        "own_user": False, "variance_reduction": True,
    }  # fmt: skip
    blind = row | {"estimator": "plain", "variance_reduction": False, "exponent": None, "mean_last": 1234.5}
    monkeypatch.setattr(tables, "_rows", lambda _: [row, blind, row | {"seed": 0}])
    lines = tables.convergence().splitlines()
    assert lines[2:4] == [
        "| ml-100k | 0.05 | plain | 128 | 60 | 3 | 2.5 | 3.25 → 1,234 | not measurable | – |",
        "| ml-100k | 0.05 | leave-one-out | 128 | 60 | 3 | 2.5 | 3.25 → 1.5 | −0.50 [−0.62, −0.25] | – |",
    ]
    monkeypatch.setattr(tables, "_rows", lambda _: [])
    assert tables.convergence().startswith("*No figures yet: `make bench-convergence`")

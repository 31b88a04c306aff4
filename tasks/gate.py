"""The quality gate: which rules a condensed dataset must satisfy to become champion, and how each came out."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tasks.outputs import read_json
from tasks.params import GateParams
from tasks.summary import POPULARITY_RANKER, Result
from tasks.workspace import Workspace

RANDOM_BASELINES = ("random", "random-pool", "random-users", "random-per-user")
"""Every condenser that draws by lot."""


@dataclass(frozen=True)
class Outcome:
    """One rule, whether it holds, and the numbers that show it."""

    rule: str
    passed: bool
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def judge(gate: GateParams, results: Sequence[Result]) -> list[Outcome]:
    """Apply every rule; the gate is passed when all hold."""
    trained = [result for result in results if result.model != POPULARITY_RANKER]
    outcomes = [_min_quality(gate.min_quality, trained)]
    if gate.above_baselines:
        outcomes.append(_above_baselines(trained))
    return outcomes


def judge_files(files: Workspace) -> list[Outcome]:
    """What must lie beside the set: every data check passed, the report."""
    checks = {
        "ratings": files.validated / "checks.json",
        "prepared": files.split / "checks.json",
        "condensed": files.condensed_checks,
    }
    if _is_of_todays_increment(files):
        checks["increment"] = files.refresh
    passed = {name: bool(read_json(path, optional=True).get("passed")) for name, path in checks.items()}
    failed = [name for name, good in passed.items() if not good]
    reason = f"{', '.join(failed)} missing or failed" if failed else f"{', '.join(passed)} passed"
    attached = files.report.is_file()
    return [
        Outcome("data_checks", not failed, reason),
        Outcome("report", attached, f"{files.report.name} is {'attached to the run' if attached else 'missing'}"),
    ]


def _is_of_todays_increment(files: Workspace) -> bool:
    """Whether the checks of an increment are of the one that made today's data; they stay when data are exchanged."""
    after = read_json(files.refresh, optional=True).get("after")
    return bool(after) and after == read_json(files.raw / "source.json", optional=True).get("sha256")


def _min_quality(least: float, results: Iterable[Result]) -> Outcome:
    shares = {
        result.model: result.quality.mean if result.quality else 0.0
        for result in results
        if result.training_set == "condensed"
    }
    words = ", ".join(f"{model} {share:.1%}" for model, share in shares.items())
    passed = bool(shares) and all(share >= least for share in shares.values())
    return Outcome("min_quality", passed, f"{words or 'no downstream model'} of full data, at least {least:.1%} needed")


def _above_baselines(results: Sequence[Result]) -> Outcome:
    ndcg = {(r.model, r.training_set): r.ndcg.mean for r in results if r.ndcg}
    words, passed = [], True
    for model in dict.fromkeys(model for model, training_set in ndcg if training_set == "condensed"):
        rivals = [(ndcg[model, name], name) for name in RANDOM_BASELINES if (model, name) in ndcg]
        if not rivals:
            names = f"{', '.join(RANDOM_BASELINES[:-1])} or {RANDOM_BASELINES[-1]}"
            return Outcome(
                "above_baselines", False, f"nothing to compare {model} with; add {names} to evaluate.baselines"
            )
        condensed, (best, name) = ndcg[model, "condensed"], max(rivals)
        passed &= condensed > best
        words.append(f"{model} {condensed:.4f} against {best:.4f} ({name})")
    return Outcome("above_baselines", passed and bool(words), ", ".join(words) or "no downstream model")

"""The cases of ``speed.json``: one function each, which times both sides in turn and returns the row's figures."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Any

import scipy

from benchmarks import processes
from benchmarks.courses import PEERS, SEEDS, Course, finished, peers_python
from benchmarks.datasets import load_split, read_npz, write_npz
from benchmarks.processes import ROOT, Answer
from benchmarks.results import Results, Row
from dconrec_core.errors import DConRecError
from dconrec_core.models import MODELS

SIZE, LAYERS = 64, 3
RECBOLE, IMPLICIT = "RecBole 1.2.1", "implicit 0.7.3"
RECBOLE_BLOCKS = [2**power for power in (18, 20, 22, 24)]  # scores a block; the fastest on the first repetition counts
XSIMGCL_TRIALS = 1
SETTINGS: dict[tuple[str, str], Row] = {
    ("bprmf", "ml-1m"): {"learning_rate": 0.15, "weight_decay": 0.01, "eval_every": 10},
    ("lightgcn", "gowalla"): {"weight_decay": 0.0001},
    ("ngcf", "ml-1m"): {"dropout": 0.0},
    ("xsimgcl", "gowalla"): {"weight_decay": 0.0001},
}
"""What departs from a model's defaults on a dataset, as in ``presets/``; the search is around it."""
PENALTY = 500.0
OUTER = {"outer_epochs": 12, "n_samples": 4, "inner_epochs": 1}
RATIO, PSEUDO_RATIO = 0.25, 0.3
OUTER_THREADS = 2  # the reference had both cores too
REFERENCE_SECONDS = {"ml-100k": 0.64, "ml-1m": 5.0}
"""An outer epoch of the reference implementation, the lower end of 0.64–0.81 and 5–6 (measured earlier)."""
REFERENCE_SPEED = {RECBOLE: 0.28e6, IMPLICIT: 2.44e6}
"""Interactions a second that these reached on ML-1M on the machine of ``REFERENCE_SECONDS``, one thread."""
CALIBRATION = (
    "the peer's seconds were measured earlier on another machine; divided by how much faster RecBole's or implicit's "
    "BPR, whichever gained more, runs on this one (their rows here ÷ 0.28 and 2.44 M interactions/s there)"
)


class CaseError(DConRecError):
    """A case cannot be measured here, or its target is out of reach."""


@dataclass
class Bench:
    """What cases share: where data and results are, and how a side is run.

    Args:
        results: The file that grows.
        data: Folder of the datasets' files.
        scratch: Folder for what the processes hand to one another.
        courses: Folder of the peers' trainings.
        repetitions: Times each side runs, in turn.
        epochs: Epochs timed in a process where a case times single epochs.
        seeds: Of the quality beside the times.
    """

    results: Results
    data: Path
    scratch: Path
    courses: Path
    repetitions: int = 3
    epochs: int = 3
    seeds: tuple[int, ...] = SEEDS
    asked: list[Row] = field(default_factory=list)

    def ours(self, what: str, threads: int = 1, **request: Any) -> Answer:
        """A function of ``benchmarks.ours``, in a fresh process."""
        return processes.ask("benchmarks.ours", what, request, threads=threads)

    def peer(self, module: str, what: str, **request: Any) -> Answer:
        """A function of a module in ``benchmarks.peers``, in a fresh process of the peers' environment."""
        return processes.ask(f"benchmarks.peers.{module}", what, request, peers_python())

    def in_turn(self, ours: Callable[[int], Answer], peer: Callable[[int], Answer]) -> list[tuple[Answer, Answer]]:
        """A B A B A B; each gets the number of the repetition."""
        return [(ours(number), peer(number)) for number in range(self.repetitions)]

    def row(self, case: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]) -> Row:
        """The row of a case, measured if need be."""
        self.asked.append(dict(case))
        return self.results.row(case, measure)

    def split(self, dataset: str, seed: int = 0) -> Path:
        """A split in a file."""
        path = self.scratch / f"{dataset}-{seed}.npz"
        if not path.exists():
            write_npz(path, load_split(dataset, self.data, seed))
        return path

    def n_train(self, dataset: str) -> int:
        """Training interactions."""
        return len(read_npz(self.split(dataset)).train)


@dataclass(frozen=True)
class Case:
    """A row of ``speed.json``.

    Args:
        name: Its ``case``.
        dataset: Name in ``benchmarks.datasets``.
        measure: From the bench and the dataset to the row's figures.
        settings: What else determines it.
    """

    name: str
    dataset: str
    measure: Callable[..., Row]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def run(self, bench: Bench) -> Row:
        """The row, kept or measured."""
        key = {
            "case": self.name,
            "dataset": self.dataset,
            "settings": {**self.settings, "repetitions": bench.repetitions, "epochs": bench.epochs},
            "peers": {"environment": _peers_fingerprint(), "courses": self._courses(bench)},
        }
        if tuned := self._tuned():
            key["tuned"] = tuned
        return bench.row(key, lambda: {**self.measure(bench, self.dataset, **self.settings), "load": _load()})

    def _tuned(self) -> dict[str, Row]:
        """Settings of the dataset that the row's models have."""
        models = ("xsimgcl", "lightgcn") if self.measure is xsimgcl_epoch else (self.settings.get("model"),)
        return {model: row for (model, dataset), row in SETTINGS.items() if dataset == self.dataset and model in models}

    def _courses(self, bench: Bench) -> list[Any]:
        """What the row takes from the peers' trainings: another one makes another row."""
        if self.measure is not time_to_quality:
            return []
        known = (finished(self.settings["peer"], self.dataset, seed, bench.courses) for seed in bench.seeds)
        return [
            [course.name, content["best_epoch"], content["ndcg@10"]] for pairs in known for course, content in pairs
        ]


def compared(ours: list[float], peers: list[float]) -> Row:
    """Medians, their ratio, and every repetition."""
    if not min(ours) > 0:
        raise CaseError(f"our seconds are {ours}; they must be positive")
    every = {
        f"{side}_seconds_{number}": round(seconds, 6)
        for side, measured in (("ours", ours), ("peer", peers))
        for number, seconds in enumerate(measured, start=1)
    }
    middle, other = median(ours), median(peers)
    return {
        "ratio": round(other / middle, 4),
        "ours_seconds": round(middle, 6),
        "peer_seconds": round(other, 6),
        **every,
    }


def time_to_quality(bench: Bench, dataset: str, *, model: str, peer: str, full_run: bool) -> Row:
    """Until our training reaches the validation NDCG@10 of RecBole's best epoch, against RecBole's own time to it."""
    course, content = _best_course(bench, peer, dataset, 0)
    best_epoch, target = content["best_epoch"], content["valid_ndcg@10"]
    quality = _quality_beside_courses(bench, model, peer, dataset)
    # What the search chose, but with the layers that RecBole's has.
    settings = {**quality.pop("settings"), **({"n_layers": LAYERS} if model != "bprmf" else {})}
    split = bench.split(dataset)
    n_epochs = best_epoch if full_run else min(2, best_epoch)

    def ours(number: int) -> Answer:
        return bench.ours(
            "time_to_quality", model=model, split=str(split), settings=settings, seed=number, target=target
        )

    def theirs(_: int) -> Answer:
        return bench.peer(
            "recbole_run", "train", model=PEERS[peer].name, split=str(split), settings=course.settings, seed=0,
            epochs=n_epochs, validate=True,
        )  # fmt: skip

    pairs = bench.in_turn(ours, theirs)
    for mine, _ in pairs:
        if mine["seconds"] is None:
            raise CaseError(
                f"{model} on {dataset} stopped at valid NDCG@10 {mine['valid_ndcg@10']:.4f} (epoch {mine['epoch']}), "
                f"below the peer's {target:.4f}"
            )
    train, valid = (median(median(answer[part]) for _, answer in pairs) for part in ("train_seconds", "valid_seconds"))
    peer_seconds = [
        sum(answer["train_seconds"]) + sum(answer["valid_seconds"])
        if full_run
        else best_epoch * (median(answer["train_seconds"]) + median(answer["valid_seconds"]))
        for _, answer in pairs
    ]
    return {
        **compared([mine["seconds"] for mine, _ in pairs], peer_seconds),
        "target_valid_ndcg@10": target,
        "ours_valid_ndcg@10": median(mine["valid_ndcg@10"] for mine, _ in pairs),
        "ours_epoch": median(mine["epoch"] for mine, _ in pairs),
        "ours_settings": json.dumps(settings),
        "peer": RECBOLE,
        "peer_seconds_by": "full run" if full_run else "epochs × median epoch",
        "peer_best_epoch": best_epoch,
        "peer_epoch_seconds": round(train + valid, 4),
        "peer_epoch_train_seconds": round(train, 4),
        "peer_epoch_valid_seconds": round(valid, 4),
        "peer_settings": json.dumps(course.settings),
        **quality,
    }


def throughput_recbole(bench: Bench, dataset: str) -> Row:
    """The same number of interactions through our BPRMF and RecBole's BPR at its default batch."""
    split = str(bench.split(dataset))

    def peer(number: int) -> Answer:
        settings = {"train_batch_size": 2048}
        return bench.peer(
            "recbole_run", "train", model="BPR", split=split, settings=settings, seed=number,
            epochs=bench.epochs + 1, validate=False,
        )  # fmt: skip

    return {**_throughput(bench, dataset, peer, warm_ups=1), "peer": RECBOLE, "peer_batch_size": 2048}


def throughput_implicit(bench: Bench, dataset: str) -> Row:
    """The same against implicit's BPR, one thread."""
    split = str(bench.split(dataset))

    def peer(number: int) -> Answer:
        return bench.peer("implicit_run", "train", split=split, epochs=bench.epochs, factors=SIZE)

    return {**_throughput(bench, dataset, peer, warm_ups=0), "peer": IMPLICIT}


def _throughput(bench: Bench, dataset: str, peer: Callable[[int], Answer], warm_ups: int) -> Row:
    split, count = str(bench.split(dataset)), bench.n_train(dataset) * bench.epochs

    def ours(number: int) -> Answer:
        return bench.ours("epochs", model="bprmf", split=split, settings={"embedding_size": SIZE}, epochs=bench.epochs)

    pairs = bench.in_turn(ours, peer)
    row = compared(
        [sum(mine["train_seconds"]) for mine, _ in pairs],
        [sum(theirs["train_seconds"][warm_ups:]) for _, theirs in pairs],
    )
    speeds = {f"{side}_per_second": round(count / row[f"{side}_seconds"]) for side in ("ours", "peer")}
    return {**row, "n_interactions": count, "embedding_size": SIZE, **speeds}


def xsimgcl_epoch(bench: Bench, dataset: str, *, trials: int) -> Row:
    """An epoch of XSimGCL against one of our own LightGCN, same layers and size; their quality after one search."""
    if "xsimgcl" not in MODELS:
        raise CaseError("MODELS has no 'xsimgcl' yet")
    split = str(bench.split(dataset))

    def epoch(model: str) -> Callable[[int], Answer]:
        settings = {**SETTINGS.get((model, dataset), {}), "n_layers": LAYERS, "embedding_size": SIZE}
        return lambda _: bench.ours("epochs", model=model, split=split, settings=settings, epochs=bench.epochs)

    pairs = bench.in_turn(epoch("xsimgcl"), epoch("lightgcn"))
    row = compared(*([median(answer["train_seconds"]) for answer in side] for side in zip(*pairs, strict=True)))
    beside = {
        f"{side}_ndcg@10": fmean(_quality(bench, model, dataset, seed, trials)["ndcg@10"] for seed in bench.seeds)
        for side, model in (("ours", "xsimgcl"), ("peer", "lightgcn"))
    }
    return {**row, "peer": "our LightGCN", **beside, "quality_seeds": len(bench.seeds), "search_trials": trials}


def ease(bench: Bench, dataset: str, *, penalty: float) -> Row:
    """A whole fit with one λ against LAPACK's potrf and potri of the Gram matrix that is there already."""
    split = str(bench.split(dataset))
    pairs = bench.in_turn(
        lambda number: bench.ours("ease", split=split, penalty=penalty, check=number == 0),
        lambda _: bench.ours("cholesky", split=split, penalty=penalty),
    )
    return {
        **_seconds_compared(pairs),
        "peer": "spotrf and spotri of the Gram matrix in float32",
        "blas": _blas(),
        "n_items": read_npz(split).train.n_items,
        "regularization": penalty,
        "largest_difference": pairs[0][0]["largest_difference"],
    }


def ranking(bench: Bench, dataset: str) -> Row:
    """Full ranking and metrics of all test users, top 5, 10 and 20, against RecBole's evaluator, same embeddings."""
    split, factors = str(bench.split(dataset)), str(_factors(bench, dataset))
    blocks = list(RECBOLE_BLOCKS)

    def peer(_: int) -> Answer:
        answer = bench.peer(
            "recbole_run", "evaluate", split=split, factors=factors, block_sizes=list(blocks), repeats=bench.epochs
        )
        blocks[:] = [answer["block_size"]]
        return answer

    pairs = bench.in_turn(lambda _: bench.ours("ranking", split=split, factors=factors, repeats=bench.epochs), peer)
    mine, theirs = (pairs[0][side]["metrics"] for side in (0, 1))
    return {
        **_seconds_compared(pairs),
        "peer": RECBOLE,
        "peer_block_size": blocks[0],
        "largest_metric_difference": max(abs(value - theirs[name]) for name, value in mine.items()),
    }


def ranking_limit(bench: Bench, dataset: str) -> Row:
    """The same ranking against a bare matrix product and ``torch.topk`` in the same blocks."""
    request = {"split": str(bench.split(dataset)), "factors": str(_factors(bench, dataset)), "repeats": bench.epochs}
    pairs = bench.in_turn(
        lambda _: bench.ours("ranking", **request), lambda _: bench.ours("product_and_topk", k=20, **request)
    )
    row = _seconds_compared(pairs)
    return {**row, "peer": "matrix product and torch.topk"}


def outer_epoch(bench: Bench, dataset: str, *, reference_seconds: float, calibrate_on: str, config: Row) -> Row:
    """An outer epoch with the paper's settings against the reference implementation's, measured elsewhere."""
    factors = {
        name: _throughput_row(name, calibrate_on).run(bench)["peer_per_second"] / speed
        for name, speed in REFERENCE_SPEED.items()
    }
    factor = max(factors.values())  # the machine was at most so much slower: the peer gets the better of the two
    answers = [
        bench.ours(
            "outer_epoch", OUTER_THREADS, split=str(bench.split(dataset)), condenser="dconrec-paper", settings=config,
            ratio=RATIO, pseudo_ratio=PSEUDO_RATIO,
        )
        for _ in range(bench.repetitions)
    ]  # fmt: skip
    return {
        **compared([answer["seconds"] for answer in answers], [reference_seconds / factor]),
        "peer": "reference implementation",
        "peer_seconds_by": "measured earlier, calibrated",
        "peer_seconds_measured": reference_seconds,
        "calibration": round(factor, 4),
        **{f"calibration_{name.split()[0].lower()}": round(value, 4) for name, value in factors.items()},
        "note": CALIBRATION,
        "threads": OUTER_THREADS,
        "n_candidates": answers[0]["pool"],
        "budget": answers[0]["budget"],
    }


def reader_step(bench: Bench, dataset: str, *, ratio: float, steps: int) -> Row:
    """A step of ``synthetic-users`` by the compiled reader against the dense one, its oracle."""
    request = {"split": str(bench.split(dataset)), "ratio": ratio, "steps": steps}
    pairs = bench.in_turn(
        lambda _: bench.ours("reader_step", kind="compiled", **request),
        lambda _: bench.ours("reader_step", kind="dense", **request),
    )
    mine, theirs = pairs[0]
    return {
        **_seconds_compared(pairs),
        "peer": "the dense reader",
        "budget": mine["budget"],
        "n_users": mine["n_users"],
        "largest_difference": abs(mine["loss"] - theirs["loss"]) / theirs["loss"],
    }


def inductive_epoch(bench: Bench, dataset: str, *, ratio: float, model: str, steps: int, epochs: int) -> Row:
    """An epoch on made-up users over the items that they hold against one over the whole catalogue."""
    request = {"split": str(bench.split(dataset)), "ratio": ratio, "model": model, "steps": steps, "epochs": epochs}
    pairs = bench.in_turn(
        lambda _: bench.ours("inductive_epoch", over="mentioned", **request),
        lambda _: bench.ours("inductive_epoch", over="all", **request),
    )
    mine, theirs = pairs[0]
    return {
        **_seconds_compared(pairs),
        "peer": "the whole catalogue",
        **{name: mine[name] for name in ("budget", "n_items")},
        **{"ours_valid": mine["valid"], "peer_valid": theirs["valid"]},
    }


def _seconds_compared(pairs: list[tuple[Answer, Answer]]) -> Row:
    """``compared`` by the seconds of answers taken in turn."""
    return compared(*([answer["seconds"] for answer in side] for side in zip(*pairs, strict=True)))


def _throughput_row(peer: str, dataset: str) -> Case:
    if peer == RECBOLE:
        return Case("bprmf-ml-1m-throughput-recbole", dataset, throughput_recbole)
    return Case("bprmf-ml-1m-throughput-implicit", dataset, throughput_implicit)


def _factors(bench: Bench, dataset: str) -> Path:
    path = bench.scratch / f"{dataset}-factors.npz"
    if not path.exists():
        bench.ours("factors", split=str(bench.split(dataset)), out=str(path), epochs=5)
    return path


def _best_course(bench: Bench, peer: str, dataset: str, seed: int) -> tuple[Course, Row]:
    known = finished(peer, dataset, seed, bench.courses)
    if not known:
        raise CaseError(
            f"no finished training of RecBole's {PEERS[peer].name} on {dataset}, seed {seed}, in {bench.courses}; "
            f"python -m benchmarks.courses --only '{PEERS[peer].label}-{dataset}-{seed}-*' makes it (hours)"
        )
    return known[0]


def _quality_beside_courses(bench: Bench, model: str, peer: str, dataset: str) -> Row:
    """Test NDCG@10 of both sides, mean over the seeds the peer has been trained with; as many trials for each."""
    ours, peers, settings = [], [], None
    for seed in bench.seeds:
        known = finished(peer, dataset, seed, bench.courses)
        if known:
            mine = _quality(bench, model, dataset, seed, len(known))
            settings = json.loads(mine["ours_settings"]) if settings is None else settings  # `{}` is a choice, too
            ours.append(mine["ndcg@10"])
            peers.append(known[0][1]["ndcg@10"])
    trials = max(len(finished(peer, dataset, seed, bench.courses)) for seed in bench.seeds)
    means = {"ours_ndcg@10": fmean(ours), "peer_ndcg@10": fmean(peers)}
    return {**means, "quality_seeds": len(ours), "search_trials": trials, "settings": settings}


def _quality(bench: Bench, model: str, dataset: str, seed: int, trials: int) -> Row:
    """A row of its own, so that timing again does not train again."""
    settings = SETTINGS.get((model, dataset), {})

    def measure() -> Row:
        answer = bench.ours(
            "quality", model=model, split=str(bench.split(dataset, seed)), settings=settings, seed=seed, trials=trials
        )
        chosen = json.dumps(answer.pop("settings"))
        return {**answer, "ours_settings": chosen}

    name = {
        "case": f"{model}-{dataset}-quality", "model": model, "dataset": dataset, "settings": settings, "seed": seed,
        "trials": trials,
    }  # fmt: skip
    return bench.row(name, measure)


@cache
def _peers_fingerprint() -> str:
    digest = hashlib.sha256()
    for path in (ROOT / "benchmarks" / "peers.txt", ROOT / "tests" / "reference" / "requirements.txt"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _load() -> float:
    """How busy the machine was in the last minute: far above 1, and the seconds are worth little."""
    return round(os.getloadavg()[0], 2)


def _blas() -> str:
    """Which LAPACK both sides of ``ease`` call."""
    built = scipy.show_config(mode="dicts")["Build Dependencies"]["lapack"]
    return f"{built['name']} {built['version']}, one thread"


def cases(quick: bool = False) -> Iterator[Case]:
    """Every case of the table of bars, in its order; ``quick``: on data of seconds."""

    def named(dataset: str) -> str:
        return "tiny" if quick else dataset

    for name, dataset, peer in (
        ("bprmf-ml-1m", "ml-1m", "bprmf"),
        ("bprmf-ml-100k", "ml-100k", "bprmf"),
        ("lightgcn-ml-1m", "ml-1m", "lightgcn"),
        ("lightgcn-ml-1m-large-batch", "ml-1m", "lightgcn-large"),
        ("lightgcn-ml-100k", "ml-100k", "lightgcn"),
        ("lightgcn-gowalla", "gowalla", "lightgcn-large"),
        ("ngcf-ml-1m", "ml-1m", "ngcf"),
        ("ngcf-ml-1m-no-dropout", "ml-1m", "ngcf-no-dropout"),
        ("ngcf-ml-100k", "ml-100k", "ngcf"),
    ):
        model = name.split("-")[0]
        settings = {"model": model, "peer": peer, "full_run": model == "bprmf"}
        yield Case(f"{name}-time-to-quality", named(dataset), time_to_quality, settings)
    for peer in (RECBOLE, IMPLICIT):
        yield _throughput_row(peer, named("ml-1m"))
    for dataset in ("ml-1m", "gowalla"):
        yield Case(f"xsimgcl-{dataset}-epoch", named(dataset), xsimgcl_epoch, {"trials": XSIMGCL_TRIALS})
    for dataset in ("ml-1m", "10k-items"):
        yield Case(f"ease-{dataset}", named(dataset), ease, {"penalty": PENALTY})
    for dataset in ("ml-1m", "gowalla"):
        yield Case(f"ranking-{dataset}", named(dataset), ranking)
        yield Case(f"ranking-{dataset}-limit", named(dataset), ranking_limit)
    for dataset, seconds in REFERENCE_SECONDS.items():
        settings = {"reference_seconds": seconds, "calibrate_on": named("ml-1m"), "config": OUTER}
        yield Case(f"dconrec-outer-epoch-{dataset}", named(dataset), outer_epoch, settings)
    for percent, steps in ((0.5, 30), (5, 10)):
        settings = {"ratio": percent / 100, "steps": steps}
        yield Case(f"reader-step-ml-1m-{percent:g}%", named("ml-1m"), reader_step, settings)
    for model in ("bprmf", "lightgcn"):
        settings = {"ratio": 0.005, "model": model, "steps": 100, "epochs": 50}
        yield Case(f"{model}-inductive-ml-1m-epoch", named("ml-1m"), inductive_epoch, settings)

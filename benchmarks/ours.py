"""Our side of the speed cases, and the bare operations that bound it: run through ``benchmarks.processes.ask``."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.linalg import lapack

from benchmarks.datasets import read_npz
from benchmarks.processes import Answer, serve
from dconrec_core.comparison import train_and_measure
from dconrec_core.condensation import CONDENSERS
from dconrec_core.condensation.augment import build_pool
from dconrec_core.condensation.compiled_reader import CompiledReader
from dconrec_core.condensation.histories import Histories
from dconrec_core.condensation.reader import Reader
from dconrec_core.condensation.synthetic_users import Search, SyntheticUsers, SyntheticUsersConfig, default_batch_size
from dconrec_core.evaluation import CUTOFFS, RankingTask
from dconrec_core.models import MODELS, Recommender
from dconrec_core.models.inductive import over_mentioned_items
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.ranking import BLOCK_CELLS, DotProducts, top_items
from dconrec_core.types import Budget, CandidatePool, FloatArray, Interactions
from tasks.timing import peak_rss_mb

READERS: dict[str, type[Reader]] = {"dense": Reader, "compiled": CompiledReader}


class _Reached(Exception):
    """The target was met; nobody needs the rest of the training."""


class _Ticks:
    """An epoch listener that remembers when it heard of what."""

    def __init__(self) -> None:
        self.times, self.events = [time.perf_counter()], list[EpochEvent]()

    def __call__(self, event: EpochEvent, /) -> None:
        self.times.append(time.perf_counter())
        self.events.append(event)

    def gaps(self) -> list[float]:
        """Seconds between two events: without what came before the first."""
        return [after - before for before, after in pairwise(self.times[1:])]


def time_to_quality(model: str, split: str, settings: dict[str, Any], seed: int, target: float) -> Answer:
    """Wall time of a training until its validation NDCG@10 is at least ``target``, looks at valid included."""
    parts = read_npz(split)
    task = RankingTask.valid(parts.train, parts.valid)
    short = {**settings, "epochs": 1}
    _build(model, short).fit(parts.train, task, RunOptions(seed, "cpu"))  # compiled code is loaded, pages are warm
    seen: list[EpochEvent] = []

    def listen(event: EpochEvent, /) -> None:
        seen.append(event)
        if event.metrics.get("valid_ndcg@10", 0.0) >= target:
            raise _Reached

    started = time.perf_counter()
    try:
        history = _build(model, settings).fit(parts.train, task, RunOptions(seed, "cpu", on_epoch=listen))
    except _Reached:
        seconds, last = time.perf_counter() - started, seen[-1]
        return {"seconds": seconds, "epoch": last.epoch, "valid_ndcg@10": last.metrics["valid_ndcg@10"]}
    return {"seconds": None, "epoch": history.best_epoch, "valid_ndcg@10": history.best_valid}


def quality(model: str, split: str, settings: dict[str, Any], seed: int, trials: int) -> Answer:
    """Test metrics after a search on valid, and what it chose beside the defaults."""
    parts = read_npz(split)
    trained = train_and_measure(model, settings, parts.train, parts, trials, RunOptions(seed, "cpu"))
    defaults = MODELS[model].config_class().model_dump()
    chosen = {name: value for name, value in trained.config.items() if value != defaults[name]}
    return {"ndcg@10": trained.metrics["ndcg@10"], "recall@20": trained.metrics["recall@20"], "settings": chosen}


def epochs(model: str, split: str, settings: dict[str, Any], epochs: int) -> Answer:
    """Seconds of each epoch without validation; the first is a warm-up."""
    ticks = _Ticks()
    recommender = _build(model, {**settings, "epochs": epochs + 1})
    recommender.fit(read_npz(split).train, None, RunOptions(0, "cpu", on_epoch=ticks))
    return {"train_seconds": ticks.gaps()}


def ease(split: str, penalty: float, check: bool) -> Answer:
    """Seconds of a whole fit with one λ; on demand the largest distance of a weight from float64's."""
    train = read_npz(split).train
    options = RunOptions(0, "cpu")
    warm = Interactions.of([0, 0, 1], [0, 1, 1], 2, 2)
    _build("ease", {"regularization": [penalty]}).fit(warm, None, options)
    model = _build("ease", {"regularization": [penalty]})
    started = time.perf_counter()
    model.fit(train, None, options)
    answer: Answer = {"seconds": time.perf_counter() - started}
    if check:
        answer["largest_difference"] = _distance_from_exact(np.asarray(model.state()["weights"]), train, penalty)
    return answer


def cholesky(split: str, penalty: float) -> Answer:
    """Seconds of LAPACK's potrf and potri in float32, in place, on the Gram matrix made before."""
    matrix = np.asfortranarray(_gram(read_npz(split).train, penalty).astype(np.float32))
    lapack.spotri(lapack.spotrf(np.eye(8, dtype=np.float32, order="F"))[0])
    started = time.perf_counter()
    factor, _ = lapack.spotrf(matrix, lower=0, overwrite_a=1, clean=0)
    lapack.spotri(factor, lower=0, overwrite_c=1)
    return {"seconds": time.perf_counter() - started}


def factors(split: str, out: str, epochs: int) -> Answer:
    """Embeddings to rank by: a BPRMF of a few epochs, written as ``users`` and ``items``."""
    model = _build("bprmf", {"epochs": epochs, "embedding_size": 64})
    model.fit(read_npz(split).train, None, RunOptions(0, "cpu"))
    state = model.state()
    np.savez(out, users=state["user_factors"], items=state["item_factors"])
    return {}


def ranking(split: str, factors: str, repeats: int) -> Answer:
    """Seconds of a full ranking with metrics of all test users, and those metrics."""
    task = RankingTask.test(read_npz(split))
    users, items = _tables(factors)
    seconds, metrics = _median(lambda: task.measure(DotProducts(users, items), CUTOFFS), repeats)
    return {"seconds": seconds, "metrics": metrics}


def product_and_topk(split: str, factors: str, k: int, repeats: int) -> Answer:
    """Seconds of a bare matrix product and ``torch.topk`` over the same users in blocks of the same size."""
    task = RankingTask.test(read_npz(split))
    users, items = (torch.from_numpy(table) for table in _tables(factors))
    ids = torch.from_numpy(task.users)
    blocks = ids.split(max(1, BLOCK_CELLS // len(items)))
    seconds, _ = _median(lambda: [torch.topk(users[block] @ items.T, k) for block in blocks], repeats)
    return {"seconds": seconds}


def outer_epoch(split: str, condenser: str, settings: dict[str, Any], ratio: float, pseudo_ratio: float) -> Answer:
    """Median seconds of an outer epoch of a condenser, without what comes before the first one has ended."""
    parts = read_npz(split)
    teacher = _build("bprmf", {"epochs": 10})
    teacher.fit(parts.train, None, RunOptions(0, "cpu"))
    pool = build_pool(teacher.score, parts.train, pseudo_ratio, 5, RunOptions())
    budget = Budget.from_ratio(ratio, parts.train)
    entry, ticks = CONDENSERS[condenser], _Ticks()
    built = entry.build(entry.configure("condense.config", settings))
    built.condense(pool, parts.valid, budget, RunOptions(0, "cpu", on_epoch=ticks))
    return {"seconds": median(ticks.gaps()), "pool": len(pool), "budget": budget.n_interactions}


def reader_step(split: str, ratio: float, kind: str, steps: int) -> Answer:
    """Median seconds of a step of ``synthetic-users`` with the dense or the compiled reader, and its last loss."""
    parts, rng, config = read_npz(split), np.random.default_rng(0), SyntheticUsersConfig(steps=steps + 1)
    budget, condenser = Budget.from_ratio(ratio, parts.train), SyntheticUsers(config)
    pool = _taught_pool(parts.train, config)
    histories = Histories(pool, condenser.mentionable(pool, budget), config.n_targets, config.rank_scale)
    users = condenser.n_made_up(budget, len(histories.users))
    start = condenser.start(histories, (users, budget.n_interactions), rng)
    search = Search(torch.from_numpy(start), budget.n_interactions, config)
    search.use(READERS[kind](users, torch.device("cpu")))
    seconds, loss = list[float](), 0.0
    for number in range(1, steps + 2):
        batch = rng.permutation(histories.users)[: default_batch_size(users, len(histories.users))]
        lesson = histories.lesson(batch, config.hidden, config.hidden_weight, rng)
        started = time.perf_counter()
        loss = search.step(number, lesson)
        seconds.append(time.perf_counter() - started)
    return {"seconds": median(seconds[1:]), "loss": loss, "budget": budget.n_interactions, "n_users": users}


def inductive_epoch(split: str, ratio: float, model: str, over: str, steps: int, epochs: int) -> Answer:
    """Seconds of an epoch on a set of made-up users, looks at valid included, and the best of these looks.

    Args:
        split: Path of the real interactions.
        ratio: Share of them that the set holds.
        model: Name in ``MODELS``, with the third settings of its search: those for few users.
        over: ``mentioned`` items, those of the set, or ``all``.
        steps: Of the search for the set.
        epochs: Of the training.
    """
    parts, options = read_npz(split), RunOptions(0, "cpu")
    config, budget = SyntheticUsersConfig(steps=steps), Budget.from_ratio(ratio, parts.train)
    made = SyntheticUsers(config).condense(_taught_pool(parts.train, config), parts.valid, budget, options).interactions
    task, settings = RankingTask.valid(parts.train, parts.valid, inductive=True), _build(model, {}).search_space()[2]
    for length in (1, epochs):  # the first loads what is compiled
        trained = over_mentioned_items(
            _build(model, {**settings, "epochs": length, "patience": epochs}), over == "mentioned"
        )
        history = trained.fit(made, task, options)
    return {
        "seconds": history.seconds / epochs,
        "valid": history.best_valid,
        "n_items": int((made.item_degree > 0).sum()),
        "budget": len(made),
    }


def _taught_pool(train: Interactions, config: SyntheticUsersConfig) -> CandidatePool:
    """What ``synthetic-users`` learns from: the interactions, and the teacher's targets."""
    teacher = _build("ease", {})
    teacher.fit(train, None, RunOptions(0, "cpu"))
    return build_pool(teacher.score, train, 0.0, config.n_targets, RunOptions())


def large(split: str, pseudo_ratio: float, k: int) -> Answer:
    """Seconds of one BPRMF epoch, of the pool by its scores and of everyone's ``k`` best unseen items; peak memory."""
    warm = Interactions.of([0, 0, 1], [0, 1, 1], 2, 4)
    train, seconds = read_npz(split).train, {}
    for name, pairs in (("warm", warm), ("train", train)):
        model = _build("bprmf", {"epochs": 1, "embedding_size": 64})
        clock = [time.perf_counter()]
        model.fit(pairs, None, RunOptions(0, "cpu"))
        clock.append(time.perf_counter())
        pool = build_pool(model.score, pairs, pseudo_ratio, 5, RunOptions())
        clock.append(time.perf_counter())
        top_items(model.score, pairs, np.arange(pairs.n_users, dtype=np.int32), min(k, pairs.n_items))
        clock.append(time.perf_counter())
        gaps = [after - before for before, after in pairwise(clock)]
        seconds[name] = dict(zip(("epoch", "pool", "ranking"), gaps, strict=True))
    return {**seconds["train"], "n_candidates": len(pool), "peak_rss_mb": peak_rss_mb()}


def _build(model: str, settings: dict[str, Any]) -> Recommender:
    entry = MODELS[model]
    return entry.build(entry.configure(model, settings))


def _median(measure: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Median seconds of ``repeats`` calls after a warm-up, and what the last one gave."""
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        result = measure()
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:]), result


def _tables(path: str) -> tuple[FloatArray, FloatArray]:
    with np.load(Path(path)) as tables:
        return tables["users"], tables["items"]


def _gram(train: Interactions, penalty: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """XᵀX + λI in double precision."""
    matrix = train.csr().astype(np.float64)
    gram = (matrix.T @ matrix).toarray()
    gram[np.diag_indices_from(gram)] += penalty
    return gram


def _distance_from_exact(weights: FloatArray, train: Interactions, penalty: float) -> float:
    """Largest absolute distance from the readable formula in double precision."""
    inverse = np.linalg.inv(_gram(train, penalty))
    exact = -inverse / inverse.diagonal()
    np.fill_diagonal(exact, 0)
    return float(np.abs(weights - exact).max())


FUNCTIONS: dict[str, Callable[..., Answer]] = {
    "time_to_quality": time_to_quality,
    "quality": quality,
    "epochs": epochs,
    "ease": ease,
    "cholesky": cholesky,
    "factors": factors,
    "ranking": ranking,
    "product_and_topk": product_and_topk,
    "outer_epoch": outer_epoch,
    "reader_step": reader_step,
    "inductive_epoch": inductive_epoch,
    "large": large,
}

if __name__ == "__main__":
    serve(FUNCTIONS)

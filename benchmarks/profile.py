"""``make bench-profile``: where the time of each engine goes on ML-1M, as Markdown for benchmarks/PROFILE.md.

Every function of ``dconrec_core`` that Python calls, compiled kernels included, is wrapped in a stopwatch, so that any
commit can be measured by the same tool: ``--core FOLDER`` imports ``dconrec_core`` from another checkout. One thread.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from benchmarks.processes import ROOT, THREADS

TOP = 8
OWN = "dconrec_core"


class Stopwatch:
    """Seconds of each wrapped function, without those of wrapped functions it calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inside: list[float] = []

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, measured; a function of ours that it returns is measured too."""

        @wraps(function)
        def measured(*arguments: Any, **named: Any) -> Any:
            self._inside.append(0.0)
            started = time.perf_counter()
            try:
                result = function(*arguments, **named)
            finally:
                whole, inside = time.perf_counter() - started, self._inside.pop()
                self.seconds[name] += whole - inside
                self.calls[name] += 1
                if self._inside:
                    self._inside[-1] += whole
            if isinstance(result, FunctionType) and result.__module__.startswith(OWN):
                return self.wrap(f"{name}()", result)
            return result

        return measured

    @contextmanager
    def running(self) -> Iterator[None]:
        """Everything in the block is measured; what is in none of our functions is ``elsewhere``."""
        undo = list(self._replace_all())
        try:
            self.wrap("elsewhere", lambda: None)()  # the row exists
            self._inside.append(0.0)
            started = time.perf_counter()
            yield
            self.seconds["elsewhere"] += time.perf_counter() - started - self._inside.pop()
        finally:
            for place, attribute, original in undo:
                setattr(place, attribute, original)

    def table(self, per: int = 1) -> str:
        """The functions that took longest, as Markdown; seconds and calls are divided by ``per``."""
        total = sum(self.seconds.values())
        ranked = sorted(self.seconds, key=lambda name: -self.seconds[name])
        lines = [
            f"| `{name}` | {self.calls[name] / per:.3g} | {self.seconds[name] / per:.4f} "
            f"| {100 * self.seconds[name] / total:.0f} % |"
            for name in ranked[:TOP]
            if self.seconds[name] > 0.005 * total
        ]
        return "\n".join(["| function | calls | seconds | share |", "| --- | ---: | ---: | ---: |", *lines])

    def _replace_all(self) -> Iterator[tuple[Any, str, Any]]:
        modules = [module for name, module in sorted(sys.modules.items()) if name.split(".")[0] == OWN]
        wrapped: dict[int, Any] = {}
        for module in modules:
            for place, attribute, function in _functions(module):
                name = f"{function.__module__.removeprefix(f'{OWN}.')}.{function.__qualname__}"
                wrapped.setdefault(id(function), self.wrap(name, function))
                setattr(place, attribute, wrapped[id(function)])
                yield place, attribute, function


def _functions(module: ModuleType) -> Iterator[tuple[Any, str, Any]]:
    """Where our functions are bound in a module: names, own and imported, and methods of its own classes.

    Compiled functions stay as they are inside the module that compiles them: they call one another there.
    """
    from numba.core.registry import CPUDispatcher

    for attribute, value in list(vars(module).items()):
        ours = getattr(value, "__module__", "").startswith(OWN)
        elsewhere = ours and value.__module__ != module.__name__
        if ours and (isinstance(value, FunctionType) or (isinstance(value, CPUDispatcher) and elsewhere)):
            yield module, attribute, value
        elif ours and isinstance(value, type) and not elsewhere:
            methods = [pair for pair in vars(value).items() if isinstance(pair[1], FunctionType)]
            yield from ((value, name, method) for name, method in methods if not name.startswith("__"))


def profiles(data: Path, dataset: str) -> Iterator[tuple[str, str]]:
    """Title and table of each engine."""
    from dconrec_core.condensation import CONDENSERS
    from dconrec_core.condensation.augment import build_pool
    from dconrec_core.evaluation import RankingTask
    from dconrec_core.models import MODELS
    from dconrec_core.options import RunOptions
    from dconrec_core.types import Budget

    split, options = _split(data, dataset), RunOptions(0, "cpu")
    valid = RankingTask.valid(split.train, split.valid)

    def fit(model: str, **settings: Any) -> Any:
        entry = MODELS[model]
        built = entry.build(entry.configure(model, settings))
        built.fit(split.train, valid, options)
        return built

    def measured(title: str, run: Callable[[], Any], per: int = 1) -> tuple[str, str]:
        run()  # compiles, warms up
        watch = Stopwatch()
        with watch.running():
            run()
        return title, watch.table(per)

    title, table = measured("BPRMF: an epoch, a look at valid every 5", lambda: fit("bprmf", epochs=10), 10)
    yield title, table + _negatives(split.train)
    for model in ("lightgcn", "ngcf", "xsimgcl"):
        if model in MODELS:
            yield measured(f"{model}: an epoch, a look at valid every 5", lambda model=model: fit(model, epochs=5), 5)
    bprmf = fit("bprmf", epochs=5)
    test = RankingTask.test(split)
    yield measured("Ranking and metrics of all test users", lambda: test.measure(bprmf.score))
    yield measured("EASE: a fit with one λ, a look at valid", lambda: fit("ease", regularization=[500.0]))
    pool = build_pool(bprmf.score, split.train, 0.3, 5, options)
    paper = CONDENSERS["dconrec-paper"]
    # No refresh before the end, where there is one anyway.
    settings = {"outer_epochs": 10, "n_samples": 4, "inner_epochs": 1, "refresh": 1000}
    condenser = paper.build(paper.configure("condense.config", settings))
    budget = Budget.from_ratio(0.25, split.train)
    title = f"dconrec: an outer epoch, K = 4, one inner epoch, {len(pool):,} candidates"
    yield measured(title, lambda: condenser.condense(pool, split.valid, budget, options), 10)


def _split(data: Path, dataset: str) -> Any:
    """The split of seed 0, made by our own checkout whatever core is measured: an older one may lack the dataset."""
    import numpy as np

    from dconrec_core.types import Interactions, Split

    make = "import sys; from pathlib import Path; from benchmarks.datasets import load_split, write_npz; "
    make += "write_npz(Path(sys.argv[3]), load_split(sys.argv[2], Path(sys.argv[1]), 0))"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "split.npz")
        subprocess.run([sys.executable, "-c", make, str(data.resolve()), dataset, str(path)], cwd=ROOT, check=True)
        with np.load(path) as arrays:
            n_users, n_items = arrays["shape"].tolist()
            return Split(*(Interactions(*arrays[part], n_users, n_items) for part in ("train", "valid", "test")))


def _negatives(train: Any) -> str:
    """The part of ``bpr_epoch`` that cannot be seen from outside; nothing for a core from before ``Triplets``."""
    import numpy as np

    try:
        from dconrec_core.models._factors import Triplets
    except ImportError:
        return ""
    triplets = Triplets(train, np.random.default_rng(0))
    order = triplets.order()
    for batch in (order[:1], order):  # compiled by the first
        started = time.perf_counter()
        triplets.negatives(batch)
    return f"\n\nDrawing as many negatives alone takes {time.perf_counter() - started:.4f} s."


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one table an engine."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/input"), help="folder of the datasets' files")
    parser.add_argument("--dataset", default="ml-1m")
    parser.add_argument("--core", type=Path, help="another checkout, whose dconrec_core is measured")
    options = parser.parse_args(arguments)
    if options.core:
        sys.path.insert(0, str(options.core.resolve()))
    os.environ.update(dict.fromkeys(THREADS, "1"))  # before anything that reads them is imported
    for title, table in profiles(options.data, options.dataset):
        print(f"### {title}\n\n{table}\n", flush=True)


if __name__ == "__main__":
    main()

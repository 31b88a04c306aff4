"""Tables of README.md and docs/ as Markdown, each made from results files alone."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean, median

from benchmarks.markdown import distinct, markdown, none_yet, seconds, spread, title, transductive
from benchmarks.results import FOLDER, ROOT, Row, read_rows
from benchmarks.selection import measured
from dconrec_core.selection import Measured, Shortlist, model_of, shortlists
from tasks.summary import MODEL_LABELS

METRICS = ("ndcg@10", "recall@20")


IN_SHORT = ("dconrec", "teacher-top", "dconrec-paper", "random")
"""The condensers of the README: ours, the ranking it corrects, the paper's settings, and no choice at all."""


def quality(
    dataset: str = "ml-100k",
    ratio: float = 0.25,
    shown: Sequence[str] = ("bprmf", "lightgcn"),
    condensers: Sequence[str] | None = None,
) -> str:
    """Every condenser, or some, at one ratio, the best first: NDCG@10, Recall@20, their shares of full."""
    rows = transductive(_rows("quality"))  # sets of whole users have tables that say so
    rows = [row for row in rows if row["dataset"] == dataset and row["ratio"] in (ratio, 1)]
    rows = [row for row in rows if row["downstream_model"] in shown]
    rows = [row for row in rows if condensers is None or row["condenser"] in condensers]
    models = [model for model in shown if model in distinct(rows, "downstream_model")]
    if not rows:
        return none_yet("quality.json", "make paper-table")
    heads = [f"{title(model)} {what}" for model in models for what in ("NDCG@10", "Recall@20")]
    lines = [["full data", "100 %", *(cell for model in models for cell in _full(_only(rows, model)))]]
    by_condenser = {name: [row for row in rows if row["condenser"] == name] for name in distinct(rows, "condenser")}
    # By the first model, which all were measured with.
    best_first = sorted(
        by_condenser, key=lambda name: -fmean([row["quality"] for row in _only(by_condenser[name], models[0])] or [0])
    )
    for condenser in best_first:
        mine = by_condenser[condenser]
        share = fmean(row["n_interactions"] / row["budget"] * row["ratio"] for row in mine)
        cells = [cell for model in models for cell in _condensed(_only(mine, model))]
        lines.append([f"`{condenser}`", f"{100 * share:.3g} %", *cells])
    n_seeds = _span(len(distinct(mine, "seed")) for mine in by_condenser.values())
    how = f"mean ± standard deviation over {n_seeds} seeds, in brackets the share of full"
    note = f"{dataset}, test, {how} (`make paper-table`)."
    return f"{markdown(['trained on', 'interactions', *heads], lines)}\n\n{note}"


def headline() -> str:
    """0.5 % of ML-1M beside all of it, each recommender that was timed in turn."""
    rows = _rows("headline")
    if not rows:
        return none_yet("headline.json", "make headline")
    lines = []
    for model in distinct(rows, "downstream_model"):
        mine = _only(rows, model)
        full, condensed = (fmean(row[key] for row in mine) for key in ("n_train", "n_interactions"))
        clocks = [seconds(median(row[key] for row in mine)) for key in ("full_train_seconds", "train_seconds")]
        speed_up = f"{median(row['speed_up'] for row in mine):.0f} ×"
        name, seeds = title(model), f"{len(mine)}"
        lines.append([f"{name}, full data", f"{full:,.0f}", *_full(mine), clocks[0], "1 ×", seeds])
        lines.append([f"{name}, `synthetic-users`", f"{condensed:,.0f}", *_condensed(mine), clocks[1], speed_up, seeds])
    heads = ["trained on", "interactions", "NDCG@10", "Recall@20", "training, s", "speed-up", "seeds"]
    how = "mean ± standard deviation over seeds, in brackets the share of full data; real users folded in (inductive)"
    clock = "seconds and speed-up: each the median over seeds, timed in turn"
    costs = " ".join(_costs(model, _only(rows, model)) for model in distinct(rows, "downstream_model"))
    return f"{markdown(heads, lines)}\n\nMovieLens-1M, test, {how}; {clock} (`make headline`). {costs}"


def _costs(model: str, rows: Sequence[Row]) -> str:
    """What the headline alone does not say: the speed-up by seed, what making the set takes, what tuning gives."""
    least, most = (bound(row["speed_up"] for row in rows) for bound in (min, max))
    making = median(row["teacher_seconds"] + row["condense_seconds"] for row in rows)
    same = 100 * fmean(row["same_settings_quality"] for row in rows)
    return (
        f"{title(model)}: {least:.0f} to {most:.0f} × by seed; the set, teacher included, is made in {making:.0f} s; "
        f"with full data's settings instead of the best of as many tried on valid, {same:.1f} % of full."
    )


BESIDE_WHOLE_USERS = ("synthetic-users", "random-users", "dconrec", "teacher-top", "random")
"""What sets of whole users are compared with; the other condensers have a table of their own in docs/results.md."""


def inductive() -> str:
    """Sets of 5 % and below: each downstream model's share of its own figure on full data."""
    rows = [row for row in _rows("quality") if row["ratio"] <= 0.05 and row["condenser"] in BESIDE_WHOLE_USERS]
    if not rows:
        return none_yet("quality.json", "make bench-quality")
    models, lines = [name for name in MODEL_LABELS if _only(rows, name)], []
    for dataset, ratio, condenser in dict.fromkeys((r["dataset"], r["ratio"], r["condenser"]) for r in rows):
        mine = [r for r in rows if (r["dataset"], r["ratio"], r["condenser"]) == (dataset, ratio, condenser)]
        by_model = [_only(mine, model) for model in models]
        n_seeds = _span(len(found) for found in by_model if found)
        kind = "yes" if mine[0]["inductive"] else "no"
        lines.append(
            [dataset, f"{100 * ratio:g} %", f"`{condenser}`", kind, n_seeds, *(_shares(found) for found in by_model)]
        )
    lines.sort(key=lambda line: (line[0], float(line[1].split()[0])))
    heads = ["dataset", "ratio", "condenser", "inductive", "seeds", *map(title, models)]
    how = "NDCG@10 / Recall@20 in % of the same model tuned on full data, test, mean over seeds"
    return f"{markdown(heads, lines)}\n\n{how} (`make bench-quality`, `make paper-table`)."


def curves() -> str:
    """Quality against ratio: each condenser's share of BPRMF's own figure on full data."""
    rows = [row for row in _only(_rows("quality"), "bprmf") if row["condenser"] in BESIDE_WHOLE_USERS]
    if not rows:
        return none_yet("quality.json", "make bench-quality")
    ratios, lines = sorted({row["ratio"] for row in rows}), []
    for dataset, condenser in sorted(dict.fromkeys((row["dataset"], row["condenser"]) for row in rows)):
        mine = [row for row in rows if (row["dataset"], row["condenser"]) == (dataset, condenser)]
        cells = [[row["quality"] for row in mine if row["ratio"] == ratio] for ratio in ratios]
        inductive = "yes" if mine[0]["inductive"] else "no"
        shares = (f"{100 * fmean(cell):.1f}" if cell else "–" for cell in cells)
        lines.append([dataset, f"`{condenser}`", inductive, *shares])
    heads = ["dataset", "condenser", "inductive", *(f"{100 * ratio:g} %" for ratio in ratios)]
    how = "NDCG@10 of BPRMF in % of BPRMF tuned on full data, test, mean over the seeds measured"
    return f"{markdown(heads, lines)}\n\n{how} (`make bench-quality`, `make paper-table`)."


def ablation() -> str:
    """What each part of ``synthetic-users`` is worth: its set's share of full data without it."""
    rows = _rows("ablation")
    if not rows:
        return none_yet("ablation.json", "make bench-ablation")
    models, lines = distinct(rows, "downstream_model"), []
    for variant in distinct(rows, "variant"):
        mine = [row for row in rows if row["variant"] == variant]
        condensing = f"{median(row['condense_seconds'] for row in mine):.0f}"
        lines.append([variant, *(_spreads(_only(mine, model)) for model in models), condensing])
    n_seeds = len(distinct(rows, "seed"))
    heads = ["variant", *map(title, models), "condensing, s"]
    spread_of = f"mean ± standard deviation over {n_seeds} seeds" if n_seeds > 1 else "1 seed"
    how = f"NDCG@10 / Recall@20 in % of the same model on full data, test, {spread_of}"
    ratio = f"{100 * rows[0]['ratio']:g} % of {rows[0]['dataset']}"
    return f"{markdown(heads, lines)}\n\n{ratio}; {how} (`make bench-ablation`)."


def ceiling() -> str:
    """What a set that mentions few items can rank at all."""
    rows = _rows("ceiling")
    if not rows:
        return none_yet("ceiling.json", "make bench-ceiling")
    lines = [
        [
            row["dataset"],
            f"{100 * row['ratio']:g} %",
            f"{row['budget']:,}",
            f"{row['n_items_mentioned']:,} of {row['n_items']:,}",
            f"{100 * row['test_share']:.1f} %",
            f"{100 * row['ceiling']:.1f} %",
        ]
        for row in rows
    ]
    heads = ["dataset", "ratio", "budget", "items it may mention", "of test interactions", "of the teacher's NDCG@10"]
    return f"{markdown(heads, lines)}\n\nTest, one seed (`make bench-ceiling`)."


def held_out() -> str:
    """Users kept out of everything, folded in against the condensed set and against full data."""
    rows = _rows("held_out")
    if not rows:
        return none_yet("held_out.json", "make bench-held-out")
    lines = []
    for model in distinct(rows, "downstream_model"):
        mine = _only(rows, model)
        full, condensed = (spread([row[f"{side}ndcg@10"] for row in mine]) for side in ("full_", ""))
        lines.append([title(model), str(len(mine)), full, condensed, _shares(mine)])
    heads = ["model", "seeds", "NDCG@10, T", "NDCG@10, C", "NDCG@10 / Recall@20, % of T"]
    share = f"{100 * rows[0]['held_out_share']:g} % of the users of {rows[0]['dataset']}"
    how = f"{share} kept out of everything, then folded in from their own histories against C ({rows[0]['ratio']:.1%})"
    return f"{markdown(heads, lines)}\n\n{how} and against T, on either side (`make bench-held-out`)."


def _spreads(rows: Sequence[Row]) -> str:
    return " / ".join(spread([row[key] for row in rows], "{:.1f}", 100) for key in ("quality", "recall_quality"))


def _shares(rows: Sequence[Row]) -> str:
    if not rows:
        return "–"
    shares = " / ".join(f"{100 * fmean(row[key] for row in rows):.1f}" for key in ("quality", "recall_quality"))
    other: str = rows[0].get("reference_model") or rows[0]["downstream_model"]
    return shares if other == rows[0]["downstream_model"] else f"{shares} of {title(other)}"


def reference() -> str:
    """Full data: our models beside RecBole's on the same split."""
    ours = [row for row in _rows("quality") if (row["dataset"], row["ratio"]) == ("ml-100k", 0.25)]
    theirs = read_rows(ROOT / "tests" / "reference" / "recbole_quality.json")
    if not (ours and theirs):
        return none_yet("quality.json", "make bench-quality")
    lines = []
    for row in (row for row in theirs if row["chosen"]):
        same = [mine for mine in _only(ours, row["model"]) if mine["seed"] == row["seed"]]
        figure = f"{same[0]['full_ndcg@10']:.4f}" if same else "–"
        lines.append([title(row["model"]), str(row["seed"]), figure, f"{row['ndcg@10']:.4f}"])
    return markdown(["model", "seed", "NDCG@10", "RecBole 1.2.1"], lines)


def speed() -> str:
    """Every case of ``speed.json``: seconds of both sides, their ratio, and the quality that belongs to them."""
    rows = [row for row in _rows("speed") if "ratio" in row]
    if not rows:
        return none_yet("speed.json", "make bench-speed")
    heads = ["case", "ours, s", "peer, s", "peer", "times as fast", "NDCG@10, ours", "NDCG@10, peer"]
    lines = [
        [
            f"`{row['case']}`",
            seconds(row["ours_seconds"]),
            seconds(row["peer_seconds"]),
            row["peer"],
            f"{row['ratio']:.2f}",
            *(f"{row[f'{side}_ndcg@10']:.4f}" if f"{side}_ndcg@10" in row else "–" for side in ("ours", "peer")),
        ]
        for row in rows
    ]
    note = (
        "Medians of three runs of each side in turn. Two are estimates: the peer of `dconrec-outer-epoch-…` was timed "
        "once, on another machine, and is scaled to this one; of trainings of RecBole's graph models two epochs are "
        "timed. NDCG@10 on test (`make bench-speed`)."
    )
    return f"{markdown(heads, lines)}\n\n{note}"


def _slope(sizes: Sequence[Row], column: str) -> str:
    """By which power of the size a column grows between the two largest."""
    small, large = sorted(sizes, key=lambda row: float(row["n_interactions"]))[-2:]
    steps = (math.log(large[name] / small[name]) for name in (column, "n_interactions"))
    return f"{next(steps) / next(steps):.2f}"


def _growth(row: Row, sizes: Sequence[Row]) -> str:
    return (
        f" Over all sizes time grows with exponent {row['time_exponent']:.2f}, memory with "
        f"{row['memory_exponent']:.2f}, for each has a part that does not grow; the epoch's time alone grows "
        f"with {row['epoch_time_exponent']:.2f}, and between the two largest sizes time with "
        f"{_slope(sizes, 'seconds')}, memory with {_slope(sizes, 'peak_rss_mb')}."
    )


def scale() -> str:
    """Time and memory at ML-20M's size, and how they grow."""
    rows = _rows("scale")
    sizes = [row for row in rows if "n_interactions" in row]
    if not sizes:
        return none_yet("scale.json", "make bench-scale")
    heads = ["interactions", "a BPRMF epoch, s", "pool, s", "ranking, s", "peak memory, MB"]
    lines = [
        [
            f"{row['n_interactions']:,}",
            *(f"{row[f'{part}_seconds']:.1f}" for part in ("epoch", "pool", "ranking")),
            f"{row['peak_rss_mb']:,.0f}",
        ]
        for row in sizes
    ]
    growth = "".join(_growth(row, sizes) for row in rows if "time_exponent" in row)
    shape = f"{sizes[0]['n_users']:,} users × {sizes[0]['n_items']:,} items, one thread"
    return f"{markdown(heads, lines)}\n\n{shape} (`make bench-scale`).{growth}"


def selection() -> str:
    """Every condensed set: how well configurations rank on it, what the choice is worth, and the time of both sides."""
    everything = _rows("selection")
    rows = [row for row in everything if row["kind"] == "selection"]
    rows.sort(key=lambda row: (row["dataset"], row["condenser"], row["ratio"], row["seed"]))
    if not rows:
        return none_yet("selection.json", "make bench-select")
    heads = [
        *("dataset", "condenser", "ratio", "inductive", "seed", "τ, valid", "of one model", "of two", "τ, test"),
        *("regret", "by lot", "time"),
        *("regret of the first 3", "time", "of the first 5", "time"),
    ]
    lines = []
    for row in rows:
        condensed, full = _trainings(row, everything)
        taus = (row["kendall_tau"], *_tau_by_pairs(condensed, full), row["kendall_tau_test"])
        by_size = {one.size: one for one in shortlists(condensed, full, (3, 5))} if condensed else {}
        lines.append(
            [
                row["dataset"],
                f"`{row['condenser']}`",
                f"{100 * row['ratio']:.3g} %",
                "yes" if row["inductive"] else "no",
                str(row["seed"]),
                *(_or_dash(tau, "{:.2f}") for tau in taus),
                *(_or_dash(row[name] and 100 * row[name], "{:.1f} %") for name in ("regret", "regret_at_random")),
                _or_dash(row["time_ratio"], "{:.1f} ×"),
                *(cell for size in (3, 5) for cell in _regret_and_time(by_size.get(size))),
            ]
        )
    counts = " or ".join(map(str, distinct(rows, "n_configurations")))
    note = (
        f"{counts} configurations, one thread; τ of one model, of two: over the pairs of configurations of one model, "
        "of two models, alone; time: full data over condensed set, and beside a shortlist over set and shortlist "
        "together, each training timed once, those on full data for all sets of a seed (`make bench-select`)."
    )
    return f"{markdown(heads, lines)}\n\n{note}"


def _regret_and_time(one: Shortlist | None) -> tuple[str, str]:
    if one is None or one.regret is None:
        return "–", "–"
    return _or_dash(100 * one.regret, "{:.1f} %"), _or_dash(one.time_ratio, "{:.1f} ×")


Side = Mapping[str, Measured]
"""What each configuration showed, by name."""


def _tau_by_pairs(condensed: Side, full: Side) -> list[float | None]:
    """Kendall's τ over the pairs of configurations of one model alone, and over those of two models alone."""
    found: dict[bool, list[int]] = {True: [], False: []}
    for one, other in combinations(condensed, 2):
        product = (condensed[one].valid - condensed[other].valid) * (full[one].valid - full[other].valid)
        found[model_of(one) == model_of(other)].append((product > 0) - (product < 0))
    return [fmean(signs) if signs else None for signs in found.values()]


def _trainings(row: Row, everything: Sequence[Row]) -> tuple[Side, Side]:
    """What is behind a row, on either side; nothing where not all of it is of the row's core."""
    mine = [
        one
        for one in everything
        if one["kind"] == "configuration" and all(one[name] == row[name] for name in ("dataset", "seed", "core"))
    ]
    condensed, full = (
        {one["configuration"]: measured(one) for one in mine if (one["condenser"], one["ratio"]) == side}
        for side in ((row["condenser"], row["ratio"]), ("", 1))
    )
    return (condensed, full) if len(condensed) == len(full) == row["n_configurations"] else ({}, {})


def training_time() -> str:
    """Training on a quarter of the data and on all of it, timed in turn, by both clocks."""
    rows, lines = _rows("training_time"), []
    for model in distinct(rows, "downstream_model"):
        mine = _only(rows, model)
        reached = [row["speed_up_to_share"] for row in mine if row["speed_up_to_share"]]
        clocks = [seconds(median(row[name] for row in mine)) for name in ("full_train_seconds", "train_seconds")]
        epochs = [f"{median(row[name] for row in mine):.0f}" for name in ("full_best_epoch", "best_epoch")]
        to_share = f"{median(reached):.1f} × ({len(reached)} of {len(mine)})" if reached else "never"
        quality = f"{100 * fmean(row['quality'] for row in mine):.1f} %"
        speed_up = f"{median(row['speed_up'] for row in mine):.1f} ×"
        making = _making_seconds(mine[0], [row["seed"] for row in mine])
        saved = median(row["full_train_seconds"] - row["train_seconds"] for row in mine)
        paid = [f"{making:.0f}", f"{making / saved:.1f}"] if making else ["–", "–"]
        lines.append([title(model), f"{len(mine)}", quality, *epochs, *clocks, speed_up, to_share, *paid])
    if not lines:
        return none_yet("training_time.json", "make bench-training-time")
    heads = [
        *("model", "seeds", "NDCG@10, of full", "best epoch, full", "condensed", "s, full", "condensed"),
        *("to the best", "to 98 % of full", "making the set, s", "break-even"),
    ]
    how = (
        "25 % of ml-1m by `dconrec`, each side with the settings that its search chose, one thread, timed in turn, "
        "medians over seeds; *to the best*: until a side's own best look at valid; *to 98 % of full*: until a look at "
        "valid is first as good as 98 % of full data's best one, in brackets on how many seeds the set gets there; "
        "*making the set*: teacher and condensing, timed once; *break-even*: trainings to the best after which that is "
        "paid for"
    )
    return f"{markdown(heads, lines)}\n\n{how} (`make bench-training-time`)."


def _making_seconds(case: Row, seeds: Sequence[int]) -> float | None:
    """What teacher and condensing took where the same set was measured for ``quality.json``, median over the seeds."""
    names = ("dataset", "ratio", "condenser", "downstream_model", "trials")
    same = [
        row
        for row in _rows("quality")
        if row["seed"] in seeds and not row["inductive"] and all(row[name] == case[name] for name in names)
    ]
    return median(row["teacher_seconds"] + row["condense_seconds"] for row in same) if same else None


def convergence() -> str:
    """How fast the policy gradient finds a stationary point: the seeds of each problem and estimator together."""
    rows = [row for row in _rows("convergence") if row["seed"] == "all"]
    order = ("own_user", "variance_reduction", "n_samples")
    rows.sort(key=lambda row: (row["dataset"], -row["margin"], *(row[key] for key in order)))
    if not rows:
        return none_yet("convergence.json", "make bench-convergence")
    lines = [
        [
            row["dataset"],
            f"{row['margin']:g}",
            row["estimator"],
            f"{row['n_samples']}",
            f"{row['epochs']:,}",
            str(row["n_seeds"]),
            _three_digits(row["noise_sq"]),
            f"{_three_digits(row['mean_first'])} → {_three_digits(row['mean_last'])}",
            _interval(row, "exponent") if row["exponent"] is not None else "not measurable",
            _interval(row, "exact_exponent") if row.get("exact_exponent") is not None else "–",
        ]
        for row in rows
    ]
    heads = ["problem", "margin", "estimator", "masks", "epochs", "seeds", "noise", "running mean", "exponent", "exact"]
    first = rows[0]["fit_from"]
    note = (
        f"Running mean at epoch {first} and the last; exponent between them, 95 % interval; exact: of the exact "
        "gradient mapping; masks of an epoch; noise: what it adds to the squared norm of a step "
        "(`make bench-convergence`)."
    )
    return f"{markdown(heads, lines)}\n\n{note}"


def overhead() -> str:
    """What the drivers cost on top of the bare stage functions, on a short job and beside the whole one."""
    rows = {(row["dataset"], row["job"]): row for row in _rows("overhead")}
    lines = []
    for dataset in distinct(list(rows.values()), "dataset"):
        if short := rows.get((dataset, "short")):
            lines += [
                [dataset, "the job, cut short", *(_clocks(short, side) for side in ("bare", "flow", "dvc"))],
                [dataset, "of which conducting it", "–", *(_clocks(short, f"{s}_overhead") for s in ("flow", "dvc"))],
                [dataset, "nothing to do", "–", *(_clocks(short, f"{s}_cached") for s in ("flow", "dvc"))],
            ]
        if whole := rows.get((dataset, "whole")):
            shares = (f"{100 * whole[f'{side}_share_of_seconds']:.1f} %" for side in ("flow", "dvc"))
            lines.append([dataset, "the whole job, conducting it beside it", _clocks(whole, "bare"), *shares])
    if not lines:
        return none_yet("overhead.json", "make bench-overhead")
    heads = ["dataset", "seconds of", "stage functions", "Prefect flow", "`dvc repro`"]
    repetitions = max(row.get("repetitions", 1) for row in rows.values())
    runs = "one run of each" if repetitions == 1 else f"medians of {repetitions} runs of each"
    note = f"Seconds on the wall (of processors); {runs}, in turn (`make bench-overhead`)."
    return f"{markdown(heads, lines, words=2)}\n\n{note}"


def _clocks(row: Row, name: str) -> str:
    return f"{row[f'{name}_seconds']:.1f} ({row[f'{name}_cpu_seconds']:.1f})"


def refresh() -> str:
    """Warm and unchanged sets in percent of a cold one, by dataset, increment and model, over the seeds."""
    rows = _rows("refresh")
    if not rows:
        return none_yet("refresh.json", "make bench-refresh")
    heads = ["dataset", "new", "model", "seeds", "warm", "champion unchanged", "time", "time with the teacher's"]
    lines = []
    for case in dict.fromkeys((row["dataset"], row["increment"], row["downstream_model"]) for row in rows):
        mine = [row for row in rows if (row["dataset"], row["increment"], row["downstream_model"]) == case]
        shares = (
            [row["warm_ndcg@10"] / row["cold_ndcg@10"] for row in mine],
            [row["stale_ndcg@10"] / row["cold_ndcg@10"] for row in mine],
            [row["time_share"] for row in mine],
            [row["time_share_with_teacher"] for row in mine],
        )
        cells = (f"{spread(values, '{:.1f}', 100)} %" for values in shares)
        lines.append([case[0], f"{100 * case[1]:.3g} %", title(case[2]), str(len(mine)), *cells])
    ratios = " or ".join(f"{100 * ratio:g} %" for ratio in distinct(rows, "ratio"))
    note = (
        f"Sets of {ratios}; test NDCG@10 and processor time in percent of those of a set condensed anew, mean ± "
        "standard deviation over seeds; splits by time (`make bench-refresh`)."
    )
    return f"{markdown(heads, lines)}\n\n{note}"


TABLES: dict[str, Callable[[], str]] = {
    "headline": headline,
    "inductive": inductive,
    "curves": curves,
    "ablation": ablation,
    "ceiling": ceiling,
    "held-out": held_out,
    "training-time": training_time,
    "quality": lambda: quality(condensers=IN_SHORT),
    "quality-every": quality,
    "reference": reference,
    "speed": speed,
    "scale": scale,
    "selection": selection,
    "convergence": convergence,
    "overhead": overhead,
    "refresh": refresh,
}
"""Name in ``<!-- table:NAME -->`` → the Markdown between the markers."""


def _rows(name: str) -> list[Row]:
    return read_rows(FOLDER / f"{name}.json")


def _span(counts: Iterable[int]) -> str:
    """The smallest and the largest, or the one that all are."""
    found = sorted(set(counts))
    return " to ".join(map(str, found[:: max(len(found) - 1, 1)]))


def _only(rows: Sequence[Row], model: str) -> list[Row]:
    return [row for row in rows if row["downstream_model"] == model]


def _full(rows: Sequence[Row]) -> list[str]:
    one_a_seed = list({row["seed"]: row for row in rows}.values())
    return [spread([row[f"full_{key}"] for row in one_a_seed]) for key in METRICS]


def _condensed(rows: Sequence[Row]) -> list[str]:
    shares = [
        f" ({100 * fmean(row[key] / row[f'full_{key}'] for row in rows):.1f} %)" if rows else "" for key in METRICS
    ]
    return [spread([row[key] for row in rows]) + share for key, share in zip(METRICS, shares, strict=True)]


def _three_digits(value: float) -> str:
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}").replace("-", "−")


def _interval(row: Row, name: str) -> str:
    value, low, high = (f"{row[key]:.2f}".replace("-", "−") for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value} [{low}, {high}]"


def _or_dash(value: float | None, write: str) -> str:
    return "–" if value is None else write.format(value).replace("-", "−")


def documents() -> list[Path]:
    """Where tables may stand."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

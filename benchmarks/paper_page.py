"""Tables of docs/results.md: the paper's table in our hands, beside the paper's claims and the reference code.

Each is made from results files alone. Sets of whole users (inductive) have tables of their own and are left out.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median

from scipy.stats import ttest_rel

from benchmarks import results
from benchmarks.markdown import distinct, markdown, none_yet, seconds, spread, title, transductive
from benchmarks.results import ROOT, Row, read_rows
from dconrec_core.atomic import write_text

COMMAND, OURS, RATIO, MODEL = "make paper-table", "dconrec", 0.25, "bprmf"
MODELS = ("bprmf", "lightgcn", "ngcf", "xsimgcl")
BASELINES = (
    "random", "random-per-user", "popularity", "k-core", "pagerank", "forgetting", "loss", "herding", "k-centre",
    "gradient-matching",
)  # fmt: skip
CLAIMS: Mapping[str, str] = {
    "dianping": "over 98 %",
    "ml-20m": "over 90 %",
    "gowalla": "over 90 %",
    "ciao": "over 90 %",
}
"""Of full data's quality at 25 %, on the paper's own four datasets (Wu et al., TKDE 2025)."""

Rows = Sequence[Row]


def same_model(rows: Rows, reference: Rows = ()) -> str:
    """The paper's table: each dataset and model at 25 %, beside its claim and what the authors' code reached."""
    mine = _at(transductive(rows), condenser=OURS, ratio=RATIO)
    if not mine:
        return none_yet("quality.json", COMMAND)
    code = {(row["dataset"], row["downstream_model"]): row for row in _shares_of_code(reference)}
    lines = []
    for dataset in distinct(mine, "dataset"):
        for model in (name for name in MODELS if _at(mine, dataset=dataset, downstream_model=name)):
            some = _at(mine, dataset=dataset, downstream_model=model)
            theirs = code.get((dataset, model))
            lines.append(
                [
                    dataset,
                    title(model),
                    str(len(some)),
                    spread([row["full_ndcg@10"] for row in some]),
                    spread([row["ndcg@10"] for row in some]),
                    spread([row["recall@20"] for row in some]),
                    f"{spread([row['quality'] for row in some], '{:.1f}', 100)} %",
                    CLAIMS.get(dataset, "–"),
                    f"{100 * theirs['quality']:.0f} % with {100 * theirs['share']:.0f} % of the data"
                    if theirs
                    else "–",
                ]
            )
    heads = [
        "dataset", "model", "seeds", "NDCG@10, full data", f"NDCG@10, `{OURS}`", "Recall@20", "of full data",
        "the paper claims", "the authors' code",
    ]  # fmt: skip
    how = f"{RATIO:.0%} of the interactions, test, mean ± standard deviation over seeds"
    return f"{markdown(heads, lines, 2)}\n\n{how} (`{COMMAND}`)."


def reference_code(rows: Rows) -> str:
    """What the authors' own code reaches, and what a random draw from its pool does."""
    full = next((row["ndcg@10"] for row in rows if row["trained_on"] == "full data"), None)
    if full is None:
        return "*No figures of the reference code.*"
    lines = [
        [
            row["trained_on"],
            f"{row['n_interactions']:,}" if row["n_interactions"] else "–",
            f"{row['ndcg@10']:.4f}" + (f" ± {row['std']:.4f}" if row["std"] else ""),
            f"{100 * row['ndcg@10'] / full:.0f} %",
        ]
        for row in rows
    ]
    heads = ["trained on", "interactions", "NDCG@10", "of full data"]
    how = "MovieLens-100K, BPRMF, 50 outer epochs, two seeds; measured with the authors' code"
    return f"{markdown(heads, lines)}\n\n{how} (`benchmarks/results/reference_code.json`)."


def condensers(rows: Rows) -> str:
    """Every condenser at every ratio: BPRMF's share of its own figure on full data."""
    mine = _at(transductive(rows), downstream_model=MODEL)
    if not mine:
        return none_yet("quality.json", COMMAND)
    ratios, lines = sorted({row["ratio"] for row in mine}), []
    for dataset in distinct(mine, "dataset"):
        names = distinct(_at(mine, dataset=dataset), "condenser")
        for condenser in sorted(names, key=lambda name: (name != OURS, name)):
            some = _at(mine, dataset=dataset, condenser=condenser)
            cells = [spread([row["quality"] for row in _at(some, ratio=ratio)], "{:.1f}", 100) for ratio in ratios]
            lines.append([dataset, f"`{condenser}`", *cells])
    heads = ["dataset", "condenser", *(f"{100 * ratio:g} %" for ratio in ratios)]
    how = "NDCG@10 of BPRMF in % of BPRMF tuned on full data, test, mean ± standard deviation over seeds"
    return f"{markdown(heads, lines, 2)}\n\n{how} (`{COMMAND}`)."


def significance(rows: Rows) -> str:
    """``dconrec`` against others at the same budget, paired over seeds; of ``BASELINES`` the best alone."""
    mine, lines = transductive(rows), []
    keys = dict.fromkeys((r["dataset"], r["ratio"], r["downstream_model"]) for r in _at(mine, condenser=OURS))
    for dataset, ratio, model in sorted(
        keys, key=lambda key: (key[0], -key[1], MODELS.index(key[2]) if key[2] in MODELS else 9)
    ):
        some = _at(mine, dataset=dataset, ratio=ratio, downstream_model=model)
        for rival, pairs in _rivals(some):
            gain, p = compared(pairs)
            verdict = "yes" if p < 0.05 and gain > 0 else "worse" if p < 0.05 else "no"
            case = [dataset, f"{100 * ratio:g} %", title(model), rival, str(len(pairs))]
            lines.append([*case, _signed(gain), f"{p:.3f}", verdict])
    if not lines:
        return none_yet("quality.json", COMMAND)
    heads = ["dataset", "ratio", "model", f"`{OURS}` against", "seeds", "NDCG@10", "p", "better, p < 0.05"]
    how = "Difference of NDCG@10 on test, two-sided paired t-test over seeds, not corrected for the number of tests"
    return f"{markdown(heads, lines, 4)}\n\n{how} (`{COMMAND}`)."


def _rivals(rows: Rows) -> list[tuple[str, list[tuple[float, float]]]]:
    """Whom ``dconrec`` is compared with, and both sides' NDCG@10 of each; of the baselines whoever comes nearest."""
    found = [(name, paired(rows, name)) for name in distinct(rows, "condenser") if name != OURS]
    found = [(name, pairs) for name, pairs in found if len(pairs) > 1]
    baselines = [one for one in found if one[0] in BASELINES]
    others = [(f"`{name}`", pairs) for name, pairs in found if name not in BASELINES]
    if not baselines:
        return others
    nearest, pairs = min(baselines, key=lambda one: compared(one[1])[0])
    label = f"`{nearest}`, best of {len(baselines)} baselines" if len(baselines) > 1 else f"`{nearest}`"
    return [*others, (label, pairs)]


def paired(rows: Rows, rival: str) -> list[tuple[float, float]]:
    """NDCG@10 of ours and of a rival, seed by seed."""
    ours, theirs = ({row["seed"]: row["ndcg@10"] for row in _at(rows, condenser=name)} for name in (OURS, rival))
    return [(ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())]


def compared(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean difference, and the p-value of a two-sided paired t-test; 1 where every pair is equal."""
    gains = [ours - theirs for ours, theirs in pairs]
    if len(set(gains)) == 1:  # no spread to test against
        return gains[0], 1.0 if gains[0] == 0 else 0.0
    ours, theirs = zip(*pairs, strict=True)
    return fmean(gains), float(ttest_rel(ours, theirs).pvalue)


def cross_architecture(rows: Rows) -> str:
    """Each dataset's table of source × downstream models."""
    if not rows:
        return none_yet("cross_architecture.json", COMMAND)
    models, lines = [name for name in MODELS if _at(rows, downstream_model=name)], []
    for dataset in distinct(rows, "dataset"):
        for source in (name for name in MODELS if _at(rows, dataset=dataset, source_model=name)):
            some = _at(rows, dataset=dataset, source_model=source)
            cells = [spread([row["quality"] for row in _at(some, downstream_model=m)], "{:.1f}", 100) for m in models]
            lines.append([dataset, title(source), *cells])
    heads = ["dataset", "source", *map(title, models)]
    how = f"`{OURS}`, {RATIO:.0%}; NDCG@10 in % of the same downstream model on full data, mean ± standard deviation"
    return f"{markdown(heads, lines, 2)}\n\n{how} (`{COMMAND}`)."


def folded_in(rows: Rows, by_id: Rows) -> str:
    """Sets of the real users' rows, with users looked up by id and folded in from their whole histories."""
    if not rows:
        return none_yet("folded_in.json", COMMAND)
    lines, rows_by_id = [], transductive(by_id)
    names = ("dataset", "ratio", "condenser", "downstream_model")
    keys = dict.fromkeys(tuple(row[name] for name in names) for row in rows)
    for key in sorted(keys, key=lambda key: (key[0], -key[1], key[2] != OURS, key[2], MODELS.index(key[3]))):
        case = dict(zip(names, key, strict=True))
        folded, looked_up = _at(rows, **case), _at(rows_by_id, **case)
        seeds = {row["seed"] for row in folded}
        beside = [row for row in looked_up if row["seed"] in seeds]
        cells = (
            spread([row[share] for row in some], "{:.1f}", 100)
            for share in ("quality", "recall_quality")
            for some in (beside, folded)
        )
        dataset, ratio, condenser, model = key
        lines.append([dataset, f"{100 * ratio:g} %", f"`{condenser}`", title(model), str(len(folded)), *cells])
    heads = [
        "dataset", "ratio", "condenser", "model", "seeds", "NDCG@10, by id", "NDCG@10, folded in", "Recall@20, by id",
        "Recall@20, folded in",
    ]  # fmt: skip
    how = (
        "In % of the same model tuned on full data, whose users are looked up by id; test, mean ± standard deviation "
        "over the seeds, by id over those of them that were measured"
    )
    return f"{markdown(heads, lines, 4)}\n\n{how} (`{COMMAND}`)."


def times(rows: Rows) -> str:
    """Wall time at 25 %: training on either side, and what making the set took."""
    mine, lines = _at(transductive(rows), condenser=OURS, ratio=RATIO), []
    for dataset in distinct(mine, "dataset"):
        for model in (name for name in MODELS if _at(mine, dataset=dataset, downstream_model=name)):
            some = _at(mine, dataset=dataset, downstream_model=model)
            full, ours, teacher, condensing = (
                median(row[f"{what}_seconds"] for row in some)
                for what in ("full_train", "train", "teacher", "condense")
            )
            lines.append([dataset, title(model), *map(seconds, (full, ours, teacher, condensing))])
    if not lines:
        return none_yet("quality.json", COMMAND)
    heads = ["dataset", "model", "full data, s", "condensed, s", "teacher, s", "condensing, s"]
    how = (
        "Medians over seeds, training until the best validation epoch; the two sides were timed once each, in runs of "
        "their own, so that their ratio is no speed-up"
    )
    return f"{markdown(heads, lines, 2)}\n\n{how} (`{COMMAND}`)."


def figure(name: str, what: str, rows: Rows) -> str:
    """A link to a figure, once there is something to draw."""
    return f"![{what}](figures/{name}.svg)" if rows else f"*No figure yet: `{COMMAND}` draws it.*"


def _tables(folder: Callable[[], Path]) -> dict[str, Callable[[], str]]:
    def rows(name: str) -> list[Row]:
        return read_rows(folder() / f"{name}.json")

    def code() -> list[Row]:
        return read_rows(results.FOLDER / "reference_code.json")

    return {
        "paper": lambda: same_model(rows("quality"), code()),
        "reference-code": lambda: reference_code(code()),
        "condensers": lambda: condensers(rows("quality")),
        "significance": lambda: significance(rows("quality")),
        "cross-architecture": lambda: cross_architecture(rows("cross_architecture")),
        "folded-in": lambda: folded_in(rows("folded_in"), rows("quality")),
        "times": lambda: times(rows("quality")),
        "figure-quality": lambda: figure("quality", "Quality against ratio, every condenser", rows("quality")),
        "figure-cross": lambda: figure("cross_architecture", "Source × downstream models", rows("cross_architecture")),
        "figure-ablation": lambda: figure("ablation", "What each part is worth", rows("ablation")),
    }


TABLES = _tables(lambda: results.FOLDER)
"""Name in ``<!-- table:NAME -->`` → the Markdown between the markers."""


def write(folder: Path) -> Path:
    """The same tables of another folder's results files, as a page and figures there."""
    from benchmarks import figures, render

    page = render.render((ROOT / "docs" / "results.md").read_text(), {**render.TABLES, **_tables(lambda: folder)})
    figures.write_all(folder, folder / "figures")
    write_text(folder / "results.md", page)
    return folder / "results.md"


def _at(rows: Rows, **wanted: object) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _shares_of_code(rows: Rows) -> list[Row]:
    full = {row["dataset"]: row["ndcg@10"] for row in rows if row["trained_on"] == "full data"}
    learned = [row for row in rows if row["trained_on"].startswith("learned")]
    return [{**row, "quality": row["ndcg@10"] / full[row["dataset"]]} for row in learned]


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")

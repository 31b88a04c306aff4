"""Where every stage reads and writes, relative to the project's root; ``dvc.yaml`` names the same paths."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The files of one pipeline."""

    root: Path = Path(".")

    @property
    def cache(self) -> Path:
        """Downloads; kept between runs, never an output."""
        return self.root / "data/cache"

    @property
    def checkpoints(self) -> Path:
        """States of trainings that are not finished; empty between two runs unless one was cut off."""
        return self.root / "data/checkpoints"

    @property
    def raw(self) -> Path:
        """ingest: ratings.parquet, items.parquet (where the source has titles), source.json."""
        return self.root / "data/raw"

    @property
    def validated(self) -> Path:
        """validate: ratings.parquet, quarantine.parquet, checks.json, checks.html."""
        return self.root / "data/validated"

    @property
    def split(self) -> Path:
        """split: train/valid/test.parquet, users.parquet, items.parquet, split.json, checks.json."""
        return self.root / "data/split"

    @property
    def teacher(self) -> Path:
        """pretrain: the teacher's weights and config, history.csv."""
        return self.root / "data/teacher"

    @property
    def pool(self) -> Path:
        """augment: pool.parquet, pool.json."""
        return self.root / "data/pool"

    @property
    def condensed(self) -> Path:
        """condense: the condensed dataset, checked."""
        return self.root / "data/condensed"

    @property
    def search_history(self) -> Path:
        """condense: one row an outer epoch of the search."""
        return self.root / "results/condense.csv"

    @property
    def condensed_checks(self) -> Path:
        """condense: the data checks of the condensed table."""
        return self.root / "results/condensed_checks.json"

    @property
    def evaluation(self) -> Path:
        """evaluate: one row a training, everything that does not depend on the clock."""
        return self.root / "results/evaluation.json"

    @property
    def metrics(self) -> Path:
        """evaluate: the summary that ``dvc metrics`` shows."""
        return self.root / "results/metrics.json"

    @property
    def curves(self) -> Path:
        """evaluate: one row an epoch of every training."""
        return self.root / "results/curves.csv"

    @property
    def ratio_curve(self) -> Path:
        """evaluate: quality against ratio."""
        return self.root / "results/ratio_curve.csv"

    @property
    def report(self) -> Path:
        """report: one self-contained page."""
        return self.root / "results/report.html"

    @property
    def registration(self) -> Path:
        """register: which model version, which run, and what the gate decided."""
        return self.root / "results/registration.json"

    @property
    def selection_rows(self) -> Path:
        """selection: every training that is finished, so that none is done twice."""
        return self.root / "results/selection.rows.json"

    @property
    def selection(self) -> Path:
        """selection: both rankings, how well they agree and what the choice is worth."""
        return self.root / "results/selection.json"

    @property
    def selection_table(self) -> Path:
        """selection: the same, one row a configuration."""
        return self.root / "results/selection.csv"

    @property
    def selection_page(self) -> Path:
        """selection: the same as one self-contained page."""
        return self.root / "results/selection.html"

    @property
    def comparison(self) -> Path:
        """comparison: one row a cell, whichever run measured it."""
        return self.root / "results/comparison.json"

    @property
    def comparison_full(self) -> Path:
        """comparison: one row a model on full data."""
        return self.root / "results/comparison.full.json"

    @property
    def refresh(self) -> Path:
        """nightly: the latest increment beside what was there before, and the checks."""
        return self.root / "results/refresh.json"

    @property
    def champions(self) -> Path:
        """nightly: earlier champions, by their SHA-256, for the condenser to go on from."""
        return self.root / "data/champions"

    def timing(self, stage: str) -> Path:
        """Seconds a stage measured. Apart from every other output, since no two runs give the same."""
        return self.root / f"results/timings/{stage}.json"

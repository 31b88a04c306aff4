"""Champion, challenger, rollback and the consumer, against a real MLflow store."""

import shutil
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np
import pandas as pd
import pytest

from dconrec_core.condensation.base import make_synthetic
from dconrec_core.condensation.dataset import read_card, write_condensed
from dconrec_core.errors import DataError
from dconrec_core.registry import Config
from dconrec_core.types import Budget, Interactions
from tasks.model_registry import CHALLENGER, SHA256, Registry
from tasks.tracking import Tracker

pytestmark = pytest.mark.slow


class Nothing(Config):
    """No settings."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Three versions of one registered set."""
    import mlflow

    root = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        tracker = Tracker.open("registry", root)
        mlflow.set_tracking_uri(tracker.uri)
        train = Interactions.of([0, 0, 1, 1], [0, 1, 1, 2], 2, 4)
        tracker.client.create_registered_model("toy")
        for last in range(1, 4):
            made_up = Interactions.of([0, 0], [0, last], 1, 4)
            condensed = make_synthetic(made_up, train, Budget(2), condenser="toy", config=Nothing(), seed=0)
            items = pd.DataFrame({"item": np.arange(4), "item_id": np.arange(4) + 10})
            card = write_condensed(root / f"{last}/condensed", condensed, dataset="toy", items=items)
            with tracker.run("toy") as run:
                run.artifacts(root / f"{last}/condensed")
            with mlflow.start_run(run_id=run.id):
                info = mlflow.pyfunc.log_model(
                    name="condensed",
                    python_model="tasks/condensed_model.py",
                    artifacts={"condensed": str(root / f"{last}/condensed")},
                    pip_requirements=["mlflow"],
                )
            mlflow.register_model(info.model_uri, "toy", tags={SHA256: card.sha256})
        yield Registry(tracker, "toy")


def version(registry, number):
    return registry.tracker.client.get_model_version("toy", number)


def test_life_of_three_versions(registry, tmp_path):
    with pytest.raises(DataError, match="toy has no champion; run the pipeline first"):
        registry.rollback("nothing yet")
    registry.promote("1", "first", "gate")
    assert registry.verdict("1") == "champion"
    with pytest.raises(DataError, match="no other set was champion before version 1 of toy; there is nothing"):
        registry.rollback("too early")
    registry.wait("2", "passed")
    assert str(registry.by_alias(CHALLENGER).version) == "2"
    assert str(registry.champion().version) == "1"
    registry.promote("2", "looks right", "a person")
    assert registry.by_alias(CHALLENGER) is None
    assert [registry.verdict(number) for number in "12"] == ["no longer champion", "champion"]
    registry.decide("3", "rejected", "min_quality: too low", "gate")
    assert str(registry.champion().version) == "2"
    assert version(registry, "3").tags["decision.reason"] == "min_quality: too low"

    found = registry.fetch(tmp_path / "champion")
    assert str(found.version) == "2"
    assert pd.read_parquet(tmp_path / "champion/interactions.parquet")["item_id"].tolist() == [10, 12]

    assert registry.rollback("clicks fell") == ("2", "1")
    assert [registry.verdict(number) for number in "1239"] == [
        "champion",
        "not champion (rolled back: clicks fell (back to version 1))",
        "not champion (rejected: min_quality: too low)",
        "gone from MLflow",
    ]
    assert str(registry.champion().version) == "1"
    assert version(registry, "2").tags["decision"] == "rolled back"
    assert "clicks fell" in version(registry, "1").tags["decision.reason"]
    description = version(registry, "2").description
    assert [word in description for word in ("**waiting**", "**promoted**", "**rolled back**")] == [True] * 3
    assert description.count("## Decisions") == 1


def test_a_challenger_waits_only_until_a_later_version_is_registered(registry):
    registry.promote("1", "for this test", "a person")
    registry.wait("2", "passed")  # version 3 is there, as where its registration was cut off
    assert not registry.is_waiting("2")
    assert registry.verdict("2") == "not champion (a later version was registered before anybody answered)"
    registry.supersede("3")
    assert registry.verdict("2") == "not champion (declined: superseded by version 3)"
    assert version(registry, "2").tags["decision.by"] == "gate"
    assert registry.by_alias(CHALLENGER) is None
    registry.wait("3", "passed")
    for told_again in "23":
        registry.supersede(told_again)
    assert registry.is_waiting("3")
    assert registry.verdict("3") == "waits for a person: python -m flows.nightly --approve asks"
    registry.tracker.client.delete_registered_model_alias("toy", CHALLENGER)
    assert not registry.is_waiting("3")


def test_a_decision_is_written_whatever_the_length_of_its_reasons(registry):
    for reason in ("x" * 4000, "y" * 4000, "z"):
        registry.promote("1", reason, "a person")
    found = version(registry, "1")
    assert len(found.description) <= 5000
    assert "x" * 4000 in found.description
    assert found.tags["decision.reason"] == "z"


def test_another_try_of_a_decision_that_was_cut_off_leaves_what_one_would_have(registry, monkeypatch):
    registry.promote("1", "for this test", "a person")
    registry.wait("3", "passed")

    def cut_off(self, number):
        raise ConnectionError

    with monkeypatch.context() as away:
        away.setattr(Registry, "_forget_challenger", cut_off)
        with pytest.raises(ConnectionError):
            registry.promote("3", "I looked", "a person")
    registry.promote("3", "I looked", "a person")
    assert version(registry, "3").description.count("a person: **promoted**. I looked") == 1
    assert version(registry, "3").tags["champion.before"] == "1"
    assert registry.by_alias(CHALLENGER) is None
    assert str(registry.champion().version) == "3"


def test_rolling_back_never_ends_at_the_same_bytes(registry):
    client = registry.tracker.client
    client.create_registered_model("again")
    twice = Registry(registry.tracker, "again")
    for number, sha256 in enumerate("aabba", 1):
        client.create_model_version("again", version(registry, "1").source, tags={SHA256: sha256 * 64})
        twice.promote(str(number), "passed", "gate")
        if number == 2:
            with pytest.raises(DataError, match="no other set was champion before version 2 of again"):
                twice.rollback("too early")
    assert [twice.rollback("clicks fell") for _ in range(2)] == [("5", "4"), ("4", "2")]
    with pytest.raises(DataError, match="nothing to go back to"):
        twice.rollback("and again")


def test_a_former_set_is_replaced_and_nothing_else_is(registry, tmp_path):
    registry.promote("1", "for this test", "a person")
    others = tmp_path / "others"
    others.mkdir()
    registry.fetch(others)  # it is empty
    (others / "card.json").write_text('{"schema_version": 0, "sha256": "of a former set"}')
    registry.fetch(others)
    assert read_card(others).sha256 == version(registry, "1").tags[SHA256]
    for card in ("{}", "[", "3"):
        (others / "card.json").write_text(card)
        with pytest.raises(DataError, match=f"{others} exists and is no condensed set .*; name a folder"):
            registry.fetch(others)
        assert (others / "card.json").read_text() == card
    with pytest.raises(DataError, match=r"others/card\.json exists and is no condensed set"):
        registry.fetch(others / "card.json")


def test_altered_bytes_are_refused_and_nothing_is_written(registry, tmp_path):
    registry.promote("3", "for this test", "a person")
    registry.tracker.client.set_model_version_tag("toy", "3", SHA256, "0" * 64)
    with pytest.raises(DataError, match=r"models:/toy/3 has SHA-256 .* is registered: its files were altered"):
        registry.fetch(tmp_path / "champion")
    assert not (tmp_path / "champion").exists()


def test_a_version_whose_files_are_gone_is_named_and_not_where_it_was_downloaded_to(registry, tmp_path):
    registry.promote("2", "for this test", "a person")
    source = Path(url2pathname(urlparse(registry.tracker.client.get_model_version_download_uri("toy", "2")).path))
    shutil.rmtree(source / "artifacts/condensed")
    with pytest.raises(
        DataError, match=r"^models:/toy/2/interactions\.parquet does not exist; .* another version its alias"
    ):
        registry.fetch(tmp_path / "champion")
    assert not (tmp_path / "champion").exists()

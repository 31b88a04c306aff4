"""``auto``: the best on valid is taken, the reasons are told, time and refusals are respected."""

import numpy as np
import pytest

from dconrec_core.condensation import CONDENSERS
from dconrec_core.condensation.auto import Auto, AutoConfig
from dconrec_core.errors import BudgetError, ConfigError, TrainingError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.options import EpochEvent, RunOptions
from dconrec_core.types import Budget, CondensedDataset, Split
from tests.contracts import planted_pool


def chosen(split: Split, budget: int, **settings: object) -> tuple[CondensedDataset, list[EpochEvent]]:
    heard: list[EpochEvent] = []
    options = RunOptions(device="cpu", on_epoch=heard.append)
    config = AutoConfig.model_validate({"steps": 40, **settings})
    return Auto(config).condense(planted_pool(split), split.valid, Budget(budget), options), heard


def test_the_best_on_valid_is_taken_and_the_card_says_why(planted_split: Split) -> None:
    result, heard = chosen(planted_split, 240)
    tried = result.notes["tried"]
    assert {"synthetic-users (steps 40)", "teacher-top", "teacher-top (observed_share 0.0)"} <= tried.keys()
    assert "dconrec (tail_threshold 0)" in tried
    assert len(heard) == len(tried)
    best = max(tried.values())
    assert round(max(event.metrics["valid_ndcg@10"] for event in heard), 4) == best
    assert f"{best:.4f}" in result.notes["why"]
    assert result.notes["chosen"] in result.notes["why"]
    assert result.condenser == "auto"
    task = RankingTask.valid(planted_split.train, planted_split.valid, result.inductive)
    again = MODELS["bprmf"].build(MODELS["bprmf"].config_class())
    history = again.fit(result.interactions, task, RunOptions(device="cpu"))
    assert round(history.best_valid, 4) == best


def test_below_one_interaction_a_user_only_made_up_users_are_tried(planted_split: Split) -> None:
    result, _ = chosen(planted_split, 40)
    assert result.notes["chosen"] == "synthetic-users"
    assert all(name.startswith("synthetic-users") for name in result.notes["tried"])
    assert len(result.notes["tried"]) == 3  # as many as usual, fewer and more
    assert "40 interactions cannot serve 60 real users" in result.notes["why"]


def test_when_time_is_up_the_rest_is_named_and_the_first_stands(planted_split: Split) -> None:
    result, heard = chosen(planted_split, 240, time_limit=1e-6)
    assert len(heard) == len(result.notes["tried"]) == 1
    assert "teacher-top, teacher-top (observed_share" not in result.notes["why"]
    assert "dconrec" in result.notes["not_tried"]
    assert "the time limit of 1e-06 s was over" in result.notes["not_tried"]


def test_without_a_limit_all_is_tried(planted_split: Split) -> None:
    result, _ = chosen(planted_split, 40, time_limit=None)
    assert "not_tried" not in result.notes
    assert result.config["time_limit"] is None


@pytest.mark.parametrize("error", [BudgetError, TrainingError])
def test_a_proposal_that_fails_is_named_and_the_others_stand(
    error: type[Exception], planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error("the tail is larger than the budget")

    monkeypatch.setattr("dconrec_core.condensation.policy_gradient.DConRec.condense", refuse)
    result, _ = chosen(planted_split, 240)
    assert result.notes["refused"] == ["dconrec (tail_threshold 0): the tail is larger than the budget"]


def test_unknown_judge_says_so() -> None:
    with pytest.raises(ConfigError, match=r"condense.config.judge is 'bprm': did you mean 'bprmf'"):
        CONDENSERS["auto"].configure("condense.config", {"judge": "bprm"})


@pytest.mark.parametrize("error", [BudgetError, TrainingError])
def test_when_all_fail_the_reasons_are_the_error(
    error: type[Exception], planted_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error("too small")

    monkeypatch.setattr("dconrec_core.condensation.auto.Contest._judge", refuse)
    with pytest.raises(error, match=r"synthetic-users \(steps 40\): too small"):
        chosen(planted_split, 40)


def test_same_seed_same_set(planted_split: Split) -> None:
    first, second = (chosen(planted_split, 60)[0] for _ in range(2))
    assert first.interactions.fingerprint() == second.interactions.fingerprint()
    assert first.notes == second.notes
    assert np.isfinite(first.keep_prob).all()

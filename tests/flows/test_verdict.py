import pytest

from flows.verdict import verdict


def test_what_was_decided_at_first_stands_where_mlflow_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    registration = {"experiment": "ours", "model": "toy", "version": "7", "decision": "waiting"}
    assert verdict(registration) == "waiting when it was registered (MLflow does not answer)"

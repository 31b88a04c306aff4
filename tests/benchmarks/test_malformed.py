"""A part of the fuzz corpus; ``make bench-faults`` tries all of it."""

from pathlib import Path

import pytest

from benchmarks import malformed

SOME = 19
"""Of each kind: some 170 together."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", malformed.KINDS)
def test_damaged_input_ends_in_one_line_and_leaves_nothing_half_written(kind: str, tmp_path: Path):
    tally = malformed.run(kind, SOME, tmp_path)
    assert tally.failures == []
    assert tally.refused + tally.accepted == tally.tried == SOME
    assert tally.refused > SOME / 2
    assert list(tmp_path.iterdir()) == []


def test_the_corpus_is_large_and_the_same_each_time(tmp_path: Path):
    assert sum(malformed.COUNTS.values()) >= 2000
    assert malformed.COUNTS.keys() == malformed.KINDS.keys()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        malformed.KINDS["params"](malformed.random.Random("one"), tmp_path / name)
    first, second = (tmp_path / name / "params.yaml" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes() != (malformed.ROOT / "params.yaml").read_bytes()


def test_what_fails_is_counted_as_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def bug(lot: malformed.random.Random, folder: Path) -> malformed.Call:
        def read() -> None:
            (folder / "half").write_text("")
            raise (ValueError if lot.random() < 0.5 else malformed.USER_ERRORS[0])("no file")

        return read

    monkeypatch.setitem(malformed.KINDS, "bugs", bug)
    tally = malformed.run("bugs", 12, tmp_path)
    assert len(tally.failures) == 12
    assert {failure.split(": ")[1] for failure in tally.failures} == {"ValueError", "left half behind"}

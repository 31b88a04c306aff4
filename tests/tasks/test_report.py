import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dconrec_core.atomic import write_json
from dconrec_core.data import io
from dconrec_core.errors import DataError
from tasks.figures import STYLES, style_of
from tasks.installed import installed
from tasks.report import report
from tasks.workspace import Workspace
from tests.tasks.report_files import EVIL_TITLE, MODELS, SETS, fabricate

SECTIONS = ("results", "ratio", "training", "search", "contents", "history", "checks", "use", "reproduce")
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """What a test asks of a page: ids, text by section, attributes that load something, and balanced tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.ids, self.open_tags, self.loads, self.text = html, [], [], [], {}
        self.section = ""
        self.feed(html)
        assert self.open_tags == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.loads += [attributes[name] for name in ("src", "href", "srcset", "action", "data") if name in attributes]
        self.section = attributes["id"] if tag == "section" else self.section
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass  # <path/> inside <svg>

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text[self.section] = self.text.get(self.section, "") + data.replace("\N{NO-BREAK SPACE}", " ")

    def rows(self, model: str) -> dict[str, list[str]]:
        """Cells of the result table by training set."""
        found = re.findall(rf'<tr[^>]*data-model="{model}" data-set="([^"]+)">(.*?)</tr>', self.html, flags=re.S)
        return {
            name: [_text(cell) for cell in re.findall(r"<td.*?>(.*?)</td>", row, flags=re.S)] for name, row in found
        }


def _text(html: str) -> str:
    return re.sub(r"<.*?>", "", html).replace("\N{NO-BREAK SPACE}", " ").strip()


def render(files: Workspace) -> Page:
    report(files, files.report)
    return Page(files.report.read_text(encoding="utf-8"))


@pytest.fixture
def files(tmp_path: Path) -> Workspace:
    return fabricate(tmp_path)


def test_every_section_is_there_once_and_linked(files: Workspace):
    page = render(files)
    assert [one for one in page.ids if one in SECTIONS] == list(SECTIONS)
    assert len(page.ids) == len(set(page.ids))
    assert [link for link in page.loads if link.startswith("#")] == [f"#{name}" for name in SECTIONS]


def test_page_loads_nothing_from_anywhere(files: Workspace):
    page = render(files)
    assert [link for link in page.loads if not link.startswith(("#", "data:"))] == []
    assert "<script" not in page.html
    assert not re.search(r"url\(|@import|xmlns", page.html)
    assert "default-src 'none'" in page.html


def test_same_files_give_the_same_bytes(tmp_path: Path):
    pages = [render(fabricate(tmp_path / name)).html for name in ("a", "b")]
    assert pages[0] == pages[1]
    assert str(tmp_path) not in pages[0]


def test_result_table_holds_the_metrics(files: Workspace):
    page = render(files)
    for model, best in MODELS.items():
        rows = page.rows(model)
        assert list(rows) == list(SETS)
        for training_set, quality in SETS.items():
            ndcg = best * quality + 0.001  # mean of the seeds' 0 and 0.002
            assert rows[training_set][0] == "no"
            assert rows[training_set][2].startswith(f"{ndcg:.4f} ± 0.0014")
            assert rows[training_set][3].startswith(f"{ndcg * 1.3:.4f}")
    assert page.rows("popularity")["full"][2:] == ["0.1313", "0.1900", "–", "–", "–", "–", "–"]


def test_speed_up_and_break_even(files: Workspace):
    condensed, full = (render(files).rows("bprmf")[name] for name in ("condensed", "full"))
    assert condensed[6:] == ["2.20 s", "3.8 ×", "3.8"]  # 8.4 / 2.2; (1.5 + 22) / (8.4 - 2.2)
    assert full[6:] == ["8.40 s", "1.0 ×", "–"]


def test_break_even_is_never_when_nothing_is_saved(files: Workspace):
    timing = json.loads(files.timing("evaluate").read_text())
    for row in timing["rows"]:
        row["train_seconds"] = 3.0
    write_json(files.timing("evaluate"), timing)
    assert render(files).rows("bprmf")["condensed"][-1] == "never"


@pytest.mark.parametrize(("seconds", "words"), [(2.0, "faster: "), (20.0, "as fast, so slower: ")])
def test_a_set_that_trains_longer_is_not_called_faster(files: Workspace, seconds: float, words: str):
    timing = json.loads(files.timing("evaluate").read_text())
    for row in timing["rows"]:
        row["train_seconds"] = seconds if row["training_set"] == "condensed" else 10.0
    write_json(files.timing("evaluate"), timing)
    assert f'<span class="beside">{words}' in render(files).html


def test_titles_are_text_not_markup(files: Workspace):
    page = render(files)
    assert EVIL_TITLE in page.text["history"]
    assert EVIL_TITLE not in page.html


def test_history_shows_before_and_after_of_a_typical_user(files: Workspace):
    text = render(files).text["history"]
    train = io.read_part(files.split, "train")
    user = int(re.search(r"User (\d+)", text)[1]) - 1000
    degree = train.user_degree
    assert "the median activity among users with both kinds of interactions." in text
    assert abs(degree[user] - np.median(degree)) == np.abs(degree - np.median(degree)).min()
    assert f"Of {degree[user]} training interactions 3 were kept, and 2 that the user never had were added" in text
    assert [text.count(f"({mark})") for mark in ("left out", "kept", "added")] == [degree[user] - 3, 6, 2]


def test_checks_show_severity_counts_and_reasons(files: Workspace):
    text = render(files).text["checks"]
    for expected in ("critical", "warning", "set aside", "user_id 7, item_id 12, rating 11.5"):
        assert expected in text
    assert "Rows set aside, by reason: rating lies between 1 and 5 (4)" in text
    assert "Dropped while preparing: rating below 3 (210)" in text


def test_a_warning_about_a_whole_table_sets_nothing_aside(files: Workspace):
    checks = json.loads((files.split / "checks.json").read_text())
    dense = {"column": None, "rule": "must hold at most 50% of all pairs", "severity": "warning", "passed": False}
    checks["expectations"] = [dense | {"n_failed": 0, "examples": []}]
    write_json(files.split / "checks.json", checks)
    text = re.sub(r"\s+", " ", render(files).text["checks"])
    assert "must hold at most 50% of all pairswarning warning 0" in text


def test_contents_measure_the_long_tail(files: Workspace):
    text = render(files).text["contents"]
    for expected in ("Catalogue coverage", "Tail share", "of which pseudo", "60.0 % observed", "40.0 % pseudo"):
        assert expected in text


def test_versions_and_identity(files: Workspace):
    page = render(files)
    assert re.search(r"python 3\.\d+\.\d+.*torch \d.*prefect 3.*great_expectations 1", page.text["reproduce"], re.S)
    assert "cd" * 32 in page.text["use"]
    assert "read_condensed('data/condensed')" in page.text["use"]


def test_a_package_of_which_only_the_skinny_one_is_there_has_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "toy_skinny-1.2.dist-info").mkdir()
    (tmp_path / "toy_skinny-1.2.dist-info/METADATA").write_text("Name: toy-skinny\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert (installed("toy"), installed("toy-of-nobody")) == ("1.2", None)


def test_every_figure_is_described_and_drawn(files: Workspace):
    charts = re.findall(r'<svg class="chart"[^>]*>', render(files).html)
    assert len(charts) == 1 + 4 + 3 + 2
    assert all(re.search(r'role="img" aria-label="[^"]{10,}"', chart) for chart in charts)
    assert not any(word in "".join(charts) for word in ("nan", "inf"))


# --- what a report must cope with


def test_without_optional_files(files: Workspace):
    for path in (files.ratio_curve, files.curves, files.search_history, files.condensed_checks):
        path.unlink()
    for path in (files.raw / "source.json", files.pool / "pool.json", files.split / "split.json"):
        path.unlink()
    for stage in ("pretrain", "condense", "evaluate"):
        files.timing(stage).unlink()
    for folder in (files.validated, files.split):
        (folder / "checks.json").unlink()
    page = render(files)
    assert page.rows("bprmf")["condensed"][6:] == ["–", "–", "–"]
    assert "not timed in this run" in page.text[""]
    assert "evaluate.curve_ratios" in page.text["ratio"]
    assert "without a search" in page.text["search"]
    assert "No check results were found" in page.text["checks"]


def test_empty_ratio_curve_and_a_search_of_one_epoch(files: Workspace):
    files.ratio_curve.write_text("condenser,model,ratio,n_interactions,ndcg@10,recall@20,quality\n")
    files.search_history.write_text("")
    page = render(files)
    assert "evaluate.curve_ratios" in page.text["ratio"]
    assert "without a search" in page.text["search"]


def test_without_titles_items_go_by_id(files: Workspace):
    items = io.read_table(files.split / "items.parquet").drop(columns="title")
    io.write_table(files.split / "items.parquet", items)
    text = render(files).text["history"]
    assert "The source has no titles" in text
    assert "item 500" in text


def test_an_item_without_a_title_goes_by_id(files: Workspace):
    items = io.read_table(files.split / "items.parquet")
    items.loc[0, "title"] = None
    io.write_table(files.split / "items.parquet", items)
    assert "item 500" in render(files).text["history"]


def test_one_model_one_seed(tmp_path: Path):
    files = fabricate(tmp_path, seeds=(0,))
    evaluation = json.loads(files.evaluation.read_text())
    evaluation["rows"] = [row for row in evaluation["rows"] if row["model"] == "bprmf"]
    write_json(files.evaluation, evaluation)
    page = render(files)
    assert "Trained on them, BPRMF reaches 94.2 % of the NDCG@10" in re.sub(r"\s+", " ", page.text[""])
    assert "One seed" in page.text["results"]
    assert "±" not in "".join(page.rows("bprmf")["full"])


def test_condensed_set_without_pseudo_interactions(files: Workspace):
    path = files.condensed / "interactions.parquet"
    table = io.read_table(path)
    io.write_table(path, table[table["observed"]])
    card = json.loads((files.condensed / "card.json").read_text())
    write_json(files.condensed / "card.json", card | {"observed_share": 1.0, "pseudo_share": 0.0})
    page = render(files)
    assert "of which pseudo" not in page.text["contents"]
    assert "were added" not in page.text["history"]
    assert "the median activity among users in the set." in page.text["history"]


def test_a_set_of_synthetic_users_says_so_beside_every_figure(tmp_path: Path):
    page = render(fabricate(tmp_path, synthetic=True))
    head = re.sub(r"\s+", " ", page.text[""])
    assert "88 interactions of 9 synthetic users stand for" in head
    assert "with the real users folded in" in head
    assert "of full data, inductive; best baseline" in head
    assert "(teacher-top, transductive)" in head
    assert {name: cells[0] for name, cells in page.rows("bprmf").items()} == {
        name: "yes" if name == "condensed" else "no" for name in SETS
    }
    assert (
        "the condensed set (inductive) is above the best baseline of the same size, teacher's best (transductive)"
        in (page.text["results"])
    )
    assert "Condensed, inductive" in page.text["ratio"]
    assert "Condensed, inductive" in page.text["training"]
    assert "histories of 9 synthetic users" in page.text["contents"]
    assert "% pseudo" not in page.text["use"]
    assert "9 synthetic users of its own" in page.text["use"]
    assert "model.fold_in(history)(users)" in page.text["use"]


def test_synthetic_users_are_shown_with_items_and_neighbourhood(tmp_path: Path):
    page = render(fabricate(tmp_path, synthetic=True))
    text = page.text["history"]
    assert "The set has 9 synthetic users of its own. Each of the 60 real users is nearest to one of them" in text
    assert "One user" not in text
    assert len(re.findall(r"synthetic-\d", text)) == 6
    shown = [(int(count), share) for count, share in re.findall(r"(\d+) real users, ([\d.]+) %", text)]
    assert [share for _, share in shown] == [f"{count / 60 * 100:.1f}" for count, _ in shown]
    assert shown == sorted(shown, reverse=True)
    assert re.search(r"Film number \d+ \(19\d\d\) · .* and [12] more", text)


def test_titles_of_synthetic_users_are_text_not_markup(tmp_path: Path):
    page = render(fabricate(tmp_path, synthetic=True))
    assert page.text["history"].count(EVIL_TITLE) == 6
    assert EVIL_TITLE not in page.html
    assert "<script" not in page.html
    assert [link for link in page.loads if not link.startswith(("#", "data:"))] == []


def test_users_drawn_at_random_are_called_sampled(tmp_path: Path):
    files = fabricate(tmp_path, synthetic=True)
    card = json.loads((files.condensed / "card.json").read_text())
    write_json(files.condensed / "card.json", card | {"synthetic": False, "observed_share": 1.0, "pseudo_share": 0.0})
    page = render(files)
    assert "of 9 sampled users stand for" in re.sub(r"\s+", " ", page.text[""])
    assert "9 sampled users of its own" in page.text["history"]
    assert "synthetic users" not in page.html


def test_whatever_a_condenser_told_of_its_search_is_drawn(files: Workspace):
    history = pd.read_csv(files.search_history).assign(gap=lambda table: 1 / table["outer_epoch"], empty=np.nan)
    history.to_csv(files.search_history, index=False)
    page = render(files)
    assert "gap" in page.text["search"]
    assert "empty" not in page.text["search"]


def test_what_auto_tried_stands_best_first_in_place_of_a_curve(files: Workspace):
    path = files.condensed / "card.json"
    card = json.loads(path.read_text())
    tried = {"dconrec": 0.2, "synthetic-users": 0.3, "teacher-top (observed_share 0.5)": 0.1}
    told = {"chosen": "synthetic-users", "chosen_settings": {}, "why": "it is the best", "refused": ["random: no"]}
    write_json(path, card | {"condenser": "auto", "notes": {"tried": tried, **told}})
    page = render(files)
    text = re.sub(r"\s+", " ", page.text["search"])
    assert re.search(r"it is the best.*synthetic-users ?0\.3000 ?dconrec ?0\.2000.*0\.5\) ?0\.1000", text)
    assert "Could not be made: random: no." in page.text["search"]
    assert "outer epoch" not in page.text["search"]
    assert "chosen_settings: none" in page.text["use"]
    assert "why" not in page.text["use"]


def test_text_ids_are_shown_as_they_are(files: Workspace):
    path = files.condensed / "interactions.parquet"
    table = io.read_table(path)
    io.write_table(path, table.assign(user_id="<b>user</b> " + table["user"].astype(str)))
    assert "User <b>user</b> " in render(files).text["history"]


def test_curve_that_left_the_rails_is_still_drawn(files: Workspace):
    curves = pd.read_csv(files.curves)
    curves.loc[5:9, "loss"] = [np.nan, np.inf, -np.inf, 1e300, -1e300]
    curves.to_csv(files.curves, index=False)
    assert "BPRMF, training loss" in render(files).text["training"]


# --- what it cannot do without


@pytest.mark.parametrize("name", ["evaluation", "condensed/card.json", "split/train.parquet"])
def test_a_file_it_needs_is_named_when_missing(files: Workspace, name: str):
    path = {
        "evaluation": files.evaluation,
        "condensed/card.json": files.condensed / "card.json",
        "split/train.parquet": files.split / "train.parquet",
    }[name]
    path.unlink()
    with pytest.raises(DataError, match=re.escape(f"{path} does not exist; run the stage that writes it")):
        report(files, files.report)
    assert not files.report.exists()


def test_a_broken_file_is_named(files: Workspace):
    files.evaluation.write_text('{"rows": [')
    with pytest.raises(DataError, match=r"evaluation\.json is not JSON"):
        report(files, files.report)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_set_that_the_page_names_has_a_colour_of_its_own(root: Path, scheme: int):
    css = (root / "tasks/report.css").read_text()
    colours = [re.findall(rf"--{style}: (#\w+);", css)[scheme] for style in (*STYLES, "other") if style != "condensed"]
    assert len(set(colours)) == len(colours) == len(STYLES)
    assert [style for style in STYLES if f".s-{style} {{" not in css] == []
    assert [style_of(name) for name in ("dconrec", "random-users", "herding")] == ["dconrec", "random-users", "other"]

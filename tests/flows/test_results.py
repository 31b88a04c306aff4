from flows.results import draw
from tasks.result_table import HEADER, MOST_ROWS, markdown, table
from tasks.summary import Estimate, Result


def result(training_set: str, *, inductive: bool) -> Result:
    figure = Estimate(0.25)
    return Result(training_set, "ease", 1, 1200, figure, figure, Estimate(0.9), None, 1.5, 4.0, None, inductive)


def test_no_figure_of_an_inductive_set_without_a_column_that_says_so() -> None:
    rows = table([result("full", inductive=False), result("condensed", inductive=True)])
    column = HEADER.index("inductive")
    assert [row[column] for row in rows] == ["no", "yes"]
    header, _, *lines = draw(rows).splitlines()
    place = header.index("inductive")
    assert [line[place : place + 3].strip() for line in lines] == ["no", "yes"]
    assert all(len(row) == len(HEADER) for row in rows)


def test_a_page_in_markdown_tells_what_it_leaves_out() -> None:
    rows = table([result("full", inductive=False), result("condensed", inductive=True)])
    header, rule, *lines = markdown(rows).splitlines()
    assert header.startswith("| training set | model | inductive |")
    assert rule == "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    assert lines[1].startswith("| Condensed | ease | yes | 1,200 | 0.2500 |")
    many = markdown(rows[:1] * (MOST_ROWS + 3)).splitlines()
    assert len(many) == 2 + MOST_ROWS + 2
    assert many[-1] == "and 3 more in report.html"
    assert len(markdown(rows * MOST_ROWS)) < 8000

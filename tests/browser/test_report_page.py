from pathlib import Path

import pytest

from tasks.report import report
from tests.browser.conftest import Browser
from tests.tasks.report_files import EVIL_TITLE, MODELS, SETS, fabricate

pytestmark = pytest.mark.browser

PHONE = 390
RESULTS = """
return Array.from(document.querySelectorAll('#result-table tr[data-model]'), row => ({
  model: row.dataset.model, set: row.dataset.set, visible: row.checkVisibility() && row.offsetHeight > 0,
  cells: Array.from(row.cells, cell => cell.innerText)
}))"""
CHARTS = """
return Array.from(document.querySelectorAll('svg.chart'), chart => {
  const box = chart.getBoundingClientRect()
  const lines = Array.from(chart.querySelectorAll('path.line'), line => line.getTotalLength())
  const outside = Array.from(chart.querySelectorAll('text')).filter(text => {
    const inner = text.getBoundingClientRect()
    return inner.left < box.left - 1 || inner.right > box.right + 1 || inner.bottom > box.bottom + 1
  })
  return {width: box.width, height: box.height, lines, outside: outside.map(text => text.textContent)}
})"""
# Contrast of two sRGB colours as WCAG 2 defines it, for each piece of text against the nearest painted background.
CONTRAST = """
const parse = colour => colour.match(/[\\d.]+/g).map(Number)
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
const behind = node => {
  for (; node; node = node.parentElement) {
    const paint = getComputedStyle(node)
    if (paint.backgroundImage !== 'none') return null
    const colour = parse(paint.backgroundColor)
    if (colour.length === 3 || colour[3] === 1) return colour
  }
}
const worst = []
const texts = 'p, li, th, td, dt, dd, h1, h2, h3, figcaption, caption, a, summary, code'
for (const node of document.querySelectorAll(texts)) {
  const background = behind(node)
  if (!background || !node.checkVisibility() || !node.innerText.trim()) continue
  const [high, low] = [light(parse(getComputedStyle(node).color)), light(background)].sort((a, b) => b - a)
  const ratio = (high + 0.05) / (low + 0.05)
  if (ratio < 4.5) worst.push(`${node.tagName} ${node.innerText.slice(0, 40)}: ${ratio.toFixed(2)}`)
}
return worst"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = fabricate(tmp_path_factory.mktemp("report"))
    report(files, files.report)
    return files.report


def test_opens_offline_without_a_complaint(browser: Browser, page: Path):
    browser.open(page.as_uri())
    assert browser.driver.title == "toy condensed to 32\N{NO-BREAK SPACE}% · DConRec report"
    assert [one for one in browser.requests() if not one.startswith("data:")] == [page.as_uri()]
    assert browser.console() == []


def test_a_title_with_a_script_stays_a_title(browser: Browser, page: Path):
    browser.open(page.as_uri())
    assert EVIL_TITLE in browser.text
    assert browser.run("return document.scripts.length") == 0


def test_result_rows_show_the_metrics(browser: Browser, page: Path):
    browser.open(page.as_uri())
    rows = browser.run(RESULTS)
    assert len(rows) == len(MODELS) * len(SETS) + 1
    assert all(row["visible"] for row in rows)
    shown = {(row["model"], row["set"]): row["cells"] for row in rows}
    for model, best in MODELS.items():
        for training_set, quality in SETS.items():
            assert shown[model, training_set][3].startswith(f"{best * quality + 0.001:.4f}")


@pytest.mark.parametrize("width", [1280, 768, PHONE])
def test_every_figure_has_a_size_and_its_text_inside(browser: Browser, page: Path, width: int):
    browser.look(width=width)
    browser.open(page.as_uri())
    charts = browser.run(CHARTS)
    assert len(charts) == 10
    for chart in charts:
        assert chart["width"] > 200
        assert chart["height"] > 120
        assert min(chart["lines"], default=0) >= 0
        assert max(chart["lines"]) > 100
        assert chart["outside"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(browser: Browser, page: Path, scheme: str):
    browser.look(scheme=scheme)
    browser.open(page.as_uri())
    red, *_ = (
        float(part) for part in browser.run("return getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g)")
    )
    assert (red > 128) == (scheme == "light")
    assert browser.run(CONTRAST) == []


@pytest.mark.parametrize("width", [PHONE, 320])
def test_a_phone_never_scrolls_the_page_sideways(browser: Browser, page: Path, width: int):
    browser.look(width=width)
    browser.open(page.as_uri())
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run("return window.innerWidth") == width
    first = "return document.querySelector('#result-table tr.mine th').getBoundingClientRect().left"
    before = browser.run(first)
    browser.run("document.querySelector('#results .scroll').scrollLeft = 300")
    assert browser.run(first) == pytest.approx(before)  # the row's name stays in sight

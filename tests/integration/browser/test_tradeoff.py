"""The trade-off's picture: a sketch before it, intervals of repeated samples, labels apart, files to take away."""

from __future__ import annotations

import csv
import io
import itertools
import statistics
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from playwright.sync_api import Page, expect

from tests.integration.browser.conftest import OpenPage, ready
from tests.integration.conftest import Served

T_OF_FOUR = 3.18  # Student's t at 97.5 %, 3 degrees of freedom
DRAWN = """async (points) => {
  const { chart } = await import("/playground/app/tradeoff/chart.js");
  const style = new CSSStyleSheet();
  style.replaceSync(".point-label { font: 500 14px sans-serif; }");
  document.adoptedStyleSheets = [style];
  const drawn = chart(points, { x: "x", y: "y" }, "a test", 640);
  drawn.style.width = "640px";
  document.body.replaceChildren(drawn);
  const box = (element) => {
    const { left, right, top, bottom } = element.getBoundingClientRect();
    return [left, right, top, bottom];
  };
  return {
    labels: [...drawn.querySelectorAll(".point-label")].map(box),
    dots: [...drawn.querySelectorAll(".point")].map(box),
    joined: drawn.querySelectorAll("polyline, path").length,
  };
}"""


def apart(one: list[float], other: list[float]) -> bool:
    return one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] + 4 or other[3] <= one[2] + 4


def test_labels_stand_apart(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/"))
    places = [(0, 0), (0.01, 0.02), (0.02, 0.01), (0.03, 0.03), (0.5, 0.01), (0.51, 0.0), (1, 1), (1, 0.99)]
    rest: dict[str, Any] = {"samples": [], "interval": None, "kl": 0.1, "base": False}
    points = [{"label": f"0.{i} : 1.{i}", "mean": {"x": x, "y": y}, **rest} for i, (x, y) in enumerate(places)]
    drawn = page.evaluate(DRAWN, points)
    assert len(drawn["labels"]) == len(places)
    assert drawn["joined"] == 0
    for one, other in itertools.combinations(drawn["labels"], 2):
        assert apart(one, other)
    for label, dot in itertools.product(drawn["labels"], drawn["dots"]):
        assert apart(label, dot)


def download(page: Page, button: str) -> tuple[str, str]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button).click()
    path = waiting.value.path()
    return waiting.value.suggested_filename, Path(path).read_text(encoding="utf-8")


def test_a_sketch_then_points_with_intervals_and_files(served: Served, open_page: OpenPage) -> None:
    page = ready(open_page(f"{served.url}/#v=sweep&n=8&seed=5&s=curious,cheerful,2,4,2"))
    sketch = page.locator(".sketch")
    expect(sketch).to_contain_text("Nothing is drawn yet.")
    expect(sketch.locator(".point-label", has_text="all cheerful")).to_be_visible()
    page.select_option("#sweep-y", "factual")
    expect(sketch.locator(".axis-label").last).to_have_text("factual")
    page.select_option("#sweep-y", "cheerful")
    page.get_by_role("button", name="Draw").click()
    expect(page.locator(".chart .sample")).to_have_count(12)
    expect(page.locator("#view-sweep .stop")).to_be_hidden()
    expect(page.locator(".chart .whisker")).to_have_count(6)
    expect(sketch).to_have_count(0)

    name, text = download(page, "Samples (CSV)")
    assert name == "cheerful against curious.csv"
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text)))
    assert [row["point"] for row in rows] == [point for point in ("not steered", "2 : 0", "0 : 2") for _ in range(4)]
    assert {row["seed"] for row in rows} == {"5", "6", "7", "8"}
    assert {row["weight of curious"] for row in rows[:4]} == {"0"}
    curious = [float(row["curious"]) for row in rows[4:8]]
    half = T_OF_FOUR * statistics.stdev(curious) / 2
    shown = f"{statistics.mean(curious):.2f} ± {half:.2f}".replace("-", "−")
    expect(page.locator(".table-wrap tbody tr").nth(1).get_by_role("cell").nth(1)).to_have_text(shown)

    name, text = download(page, "Picture (SVG)")
    assert name == "cheerful against curious.svg"
    picture = ElementTree.fromstring(text)
    points = picture.findall(".//{http://www.w3.org/2000/svg}circle[@class='point']")
    assert len(points) == 2
    assert "stroke: rgb" in points[0].attrib["style"], "its styles go with it"

"""The whole way in a real browser: from an empty platform to rows on the Tables page."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

from tests.platform.fix_platform import LONG, Served

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
NARROW, WIDE = ViewportSize(width=360, height=740), ViewportSize(width=1280, height=900)
LOOKS: tuple[tuple[ViewportSize, Literal["dark", "light"]], ...] = (
    (NARROW, "dark"),
    (WIDE, "light"),
)
ROOT = Path(__file__).parents[2]
STYLE = ROOT / "local_platform" / "web" / "static" / "style.css"
PICTURES = ROOT / "docs" / "platform"
GUIDE = ROOT / "docs" / "setup-guide.md"

Draw = Callable[[Page, str, int], None]
"""Takes a picture of a page for the documents, under a name and so many pixels high."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    context = browser.new_context(base_url=served.url, viewport=WIDE)
    context.set_default_timeout(LONG * 1000)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    opened.on("dialog", lambda dialog: dialog.accept())
    yield opened
    context.close()
    assert [each for each in problems if "400 (Bad Request)" not in each] == []


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Draws into the documents with DRAW=1 in the environment, else where it is forgotten."""
    directory = PICTURES if os.environ.get("DRAW") else tmp_path

    def picture(page: Page, name: str, height: int) -> None:
        page.set_viewport_size(ViewportSize(width=1040, height=height))
        page.screenshot(path=directory / f"{name}.png")
        page.set_viewport_size(WIDE)
        assert (PICTURES / f"{name}.png").exists(), "with DRAW=1 it is drawn"

    return picture


def test_from_nothing_to_rows(
    page: Page, browser: Browser, served: Served, schema: str, tmp_path: Path, draw: Draw
) -> None:
    _set_up(page, schema, tmp_path, draw)
    _choose(page, draw)
    _sync_twice(page, draw)
    _look_at_rows(page, schema)
    assert served.rows(f"SELECT count(*) FROM {schema}.orders") == [(5020,)]
    _look_at_history_and_runs(page, schema, draw)
    _fits(browser, served, schema)


def _set_up(page: Page, schema: str, directory: Path, draw: Draw) -> None:
    """A field of every kind; a wrong password, and its remedy."""
    page.goto("/")
    expect(page.get_by_text("No connections yet")).to_be_visible()
    page.get_by_role("link", name="Add a source").first.click()
    page.get_by_role("button", name="Set up Sample shop").click()

    conditional = page.get_by_label("Visits each sync")
    expect(conditional).to_be_hidden()
    page.get_by_role("switch", name="Visits of the site").check()
    expect(conditional).to_have_value("20")
    page.get_by_label("Destination schema").fill(schema)
    page.get_by_label("Shop", exact=True).fill("corner")
    page.get_by_label("Password").fill("coffee")
    page.get_by_label("Medium").check()
    page.get_by_label("Currency").select_option("JPY")
    prices = directory / "prices.csv"
    prices.write_text("Tea,2.50\n")
    page.get_by_label("Price list").set_input_files(prices)
    page.get_by_role("button", name="Save and test").click()
    expect(page.get_by_text('Enter "tea", and save and test again')).to_be_visible()
    expect(page.get_by_label("Shop", exact=True)).to_have_value("corner")
    expect(page.get_by_label("Password")).to_have_value("")
    assert "coffee" not in page.content()
    draw(page, "setup", 760)
    page.get_by_label("Password").fill("tea")
    page.get_by_role("button", name="Save and test").click()
    expect(page.locator(".tests").get_by_text("passed")).to_have_count(2)


def _choose(page: Page, draw: Draw) -> None:
    page.get_by_role("link", name="Choose tables").click()
    page.get_by_label("Sync mode of customers").select_option("HISTORY")
    page.get_by_text("3 columns").click()
    expect(
        page.locator("section[aria-label=products]").get_by_label("id", exact=True)
    ).to_be_disabled()
    draw(page, "choose", 660)
    page.get_by_role("button", name="Save and sync").click()


def _sync_twice(page: Page, draw: Draw) -> None:
    expect(page.locator("#live")).to_be_visible()
    expect(page.locator(".facts").get_by_text("succeeded")).to_be_visible(timeout=LONG * 1000)
    expect(page.locator("figure.chart")).to_have_count(2)
    expect(page.get_by_text("prices are taken from the price list")).to_be_visible()
    page.get_by_role("button", name="Sync now").click()
    expect(page.locator("#live")).to_be_visible()
    expect(page.locator(".facts").get_by_text("succeeded")).to_be_visible(timeout=LONG * 1000)
    expect(page.locator("#changes + .changes")).to_contain_text("origin")
    draw(page, "sync", 900)


def _look_at_rows(page: Page, schema: str) -> None:
    """Values are text and nothing else."""
    page.get_by_role("link", name="Tables", exact=True).click()
    page.get_by_role("link", name=f"{schema}.orders").click()
    expect(page.get_by_text("<b>fragile</b>").first).to_be_visible()
    assert page.locator("td b").count() == 0
    first = page.locator("tbody td").first
    expect(first).to_have_text("1")
    page.get_by_role("link", name="Next").click()
    expect(first).to_have_text("51")
    page.get_by_role("link", name="Previous").click()
    expect(page.locator("tbody tr")).to_have_count(50)


def _look_at_history_and_runs(page: Page, schema: str, draw: Draw) -> None:
    page.get_by_role("link", name="Tables", exact=True).click()
    page.get_by_role("link", name=f"{schema}.customers").click()
    page.locator("tr.gone").get_by_role("link", name="versions").first.click()
    expect(page.locator(".timeline rect")).not_to_have_count(0)
    expect(page.get_by_role("heading", name=re.compile("version"))).to_be_visible()
    draw(page, "history", 560)
    page.get_by_role("link", name="Runs").last.click()
    expect(page.locator(".runs rect")).to_have_count(2)
    draw(page, "runs", 520)
    page.locator("tbody th a").first.click()
    expect(page.locator(".log")).to_contain_text("checkpoint saved")


def _fits(browser: Browser, served: Served, schema: str) -> None:
    """Every page fits a phone and a desk, light and dark."""
    connection = next(
        each["id"]
        for each in served.send("GET", "/connections")["items"]
        if each["config"]["schema"] == schema
    )
    base = f"/connections/{connection}"
    paths = [
        "/", "/runs", "/docs", "/connections/new", "/connections/new/shop", "/destinations/new",
        "/destinations/new/postgresql", f"/destinations/{served.group}", base, f"{base}/schema",
        f"{base}/setup", f"{base}/tables", f"{base}/tables/{schema}.customers", f"{base}/runs",
    ]  # fmt: skip
    for size, scheme in LOOKS:
        context = browser.new_context(base_url=served.url, viewport=size, color_scheme=scheme)
        opened = context.new_page()
        for path in paths:
            answer = opened.goto(path)
            assert answer is not None
            assert answer.status == 200, path
            width = opened.evaluate("document.documentElement.scrollWidth")
            assert width <= size["width"], (path, width)
            assert len(opened.screenshot()) > 1000
        context.close()


def test_keyboard_alone_adds_a_source(page: Page, served: Served) -> None:
    page.goto("/connections/new/simulated")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.get_by_label("Destination schema").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("by_keyboard")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Save and test":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="by_keyboard")).to_be_visible()
    names = [each["config"]["schema"] for each in served.send("GET", "/connections")["items"]]
    assert "by_keyboard" in names


def test_form_has_the_fields_of_the_setup_guide(page: Page, draw: Draw) -> None:
    step = re.search(r"4\. Fill in the form:\n(.*?)\n5\. ", GUIDE.read_text(), re.DOTALL)
    assert step is not None
    labels = [label for names in re.findall(r"^ +\| ([A-Z][^|]+?) \|", step[1], re.MULTILINE)
              for label in names.split(", ")]  # fmt: skip
    page.goto("/destinations/new/postgresql")
    page.get_by_label("Name", exact=True).fill("warehouse")
    for name, value in (
        ("host", "db.example.com"),
        ("database", "warehouse"),
        ("user", "fivetran"),
    ):
        field(page, name).fill(value)
    page.locator("input[value=SshTunnel]").check()
    page.locator("input[value=verify-full]").check()
    for label in labels:
        shown = re.compile(rf"^\s*{label}(\s+optional)?\s*$")
        expect(page.locator("form").get_by_text(shown).first).to_be_visible()
    draw(page, "destination", 2900)


def test_database_that_is_not_reached_says_what_to_do(page: Page) -> None:
    page.goto("/destinations/new/postgresql")
    expect(field(page, "tunnel_host")).to_be_hidden()
    page.locator("input[value=SshTunnel]").check()
    expect(field(page, "tunnel_host")).to_be_visible()
    page.locator("input[value=Directly]").check()
    expect(field(page, "tunnel_host")).to_be_hidden()
    page.get_by_label("Name", exact=True).fill("mine")
    field(page, "host").fill("127.0.0.1")
    field(page, "port").fill("1")
    field(page, "database").fill("d")
    field(page, "user").fill("u")
    page.get_by_role("button", name="Save and test").click()
    expect(page.locator(".tests .bad .remedy")).to_contain_text(re.compile("host|port|server"))
    expect(page.locator(".tests .neutral")).to_have_count(2)


def field(page: Page, name: str) -> Locator:
    """The input of a field of a setup form."""
    return page.locator(f'[name="field.{name}"]')


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible(scheme: str) -> None:
    """WCAG AA: a contrast of 4.5 to 1."""
    light, dark = re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.DOTALL)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", light))
    if scheme == "dark":
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", dark))
    pairs = [
        *((text, ground) for text in ("text", "dim") for ground in ("ground", "surface", "sunk", "neutral-soft")),
        *((tone, ground) for tone in ("good", "bad", "busy") for ground in ("surface", f"{tone}-soft")),
        ("accent", "surface"), ("accent", "ground"), ("on-accent", "accent"),
        ("text", "accent-soft"), ("dim", "accent-soft"), ("text", "bad-soft"), ("busy", "sunk"),
        ("bad", "sunk"),
    ]  # fmt: skip
    for text, ground in pairs:
        assert contrast(found[text], found[ground]) >= 4.5, (text, ground)


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(each * 2 for each in colour[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

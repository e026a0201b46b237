"""The HTML report in a real browser, as a person uses it: search, a cell, its counterexample, schemes, an interleaving.

Skipped where there is no Chromium with its driver, or no selenium (the extra `browser`); `make browser` runs it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
from command_line import run

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER: Final = shutil.which("chromedriver")
MISSING: Final = [
    what for what, there in (("selenium (the extra `browser`)", find_spec("selenium")), ("Chromium", CHROMIUM),
                             ("chromedriver", DRIVER)) if not there
]  # fmt: skip
AXE: Final = find_spec("axe_core_python")
PAGES: Final = ("index.html", "compare.html", "protocols.html", "protocol-ref-count.html", "costs.html",
                "linux-uprobes-6.18/index.html", "linux-uprobes-6.18/map-vex-0f.html")  # fmt: skip
COSTS: Final = (
    '{"schema":"ubp-verify/confirm-cost/1","kernel":"6.18","processor":"p","seconds":0.7,"complete":true,'
    '"unit":"cycles","rows":[{"name":"stepped","cycles":13647.0,"discussed":1000,"reason":""},'
    '{"name":"a jump","cycles":5.2,"discussed":20,"reason":""}]}'
)

pytestmark = [pytest.mark.whole, pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)}")]
Browser = Any  # selenium's driver, which is there or not


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two schemes, with a protocol's trace and costs."""
    folder = tmp_path_factory.mktemp("report")
    status, runs = run("interleavings", "ref-count", "--threads", "2", "--variant", "no-lock", "--format", "json")
    (folder / "runs.jsonl").write_text(runs)
    (folder / "costs.json").write_text(COSTS)
    ended, _ = run(
        "report", str(folder / "pages"), "9c", "vex.0f.77", "--scheme", "linux-uprobes-6.18", "--scheme", "xol-step",
        "-q", "--jobs", "1", "--ledger", str(folder / "ledger"), "--with", str(folder / "runs.jsonl"),
        "--with", str(folder / "costs.json"),
    )  # fmt: skip
    assert (status, ended) == (0, 0)
    return folder / "pages"


@pytest.fixture(scope="module")
def started() -> Iterator[Browser]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1100,900"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield browser
    browser.quit()


@pytest.fixture
def browser(started: Browser) -> Browser:
    """The browser as it starts: wide and light."""
    started.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    started.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    started.get("about:blank")
    return started


def waited(browser: Browser, found: Callable[[], Any]) -> Any:
    """What is found, however long it takes."""
    while not (it := found()):
        browser.execute_async_script("setTimeout(arguments[0], 20)")
    return it


def all_of(browser: Browser, selector: str) -> list[Any]:
    found: list[Any] = browser.find_elements("css selector", selector)
    return found


def keys(browser: Browser, *pressed: str) -> None:
    """Pressed one after the other, wherever the focus is."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    for key in pressed:
        ActionChains(browser).send_keys(getattr(Keys, key, key)).perform()


def focused(browser: Browser) -> str:
    return str(browser.execute_script("return document.activeElement.textContent || document.activeElement.id"))


def test_search_a_mnemonic_open_the_cell_read_the_counterexample(place: Path, browser: Browser) -> None:
    browser.get((place / "linux-uprobes-6.18/index.html").as_uri())
    all_of(browser, "#search")[0].send_keys("vzeroupper")
    waited(browser, lambda: all_of(browser, "#found a"))[0].click()
    opened = waited(browser, lambda: all_of(browser, "details[open][id='VEX_VZEROUPPER/none']"))[0]
    assert "Counterexample of vector" in opened.text and "zmm15" in opened.text and "probed" in opened.text
    assert "vex-opcode-taken-for-legacy" in opened.text


def test_the_same_cell_under_another_scheme(place: Path, browser: Browser) -> None:
    browser.get((place / "linux-uprobes-6.18/map-vex-0f.html").as_uri() + "#VEX_VZEROUPPER/none")
    all_of(browser, ".switch summary")[0].click()
    next(a for a in all_of(browser, ".switch a") if a.text == "xol-step").click()
    opened = waited(browser, lambda: all_of(browser, "details[open][id='VEX_VZEROUPPER/none']"))[0]
    assert "xol-step/map-vex-0f.html" in browser.current_url and opened.text.startswith("proved")


def test_two_schemes_side_by_side(place: Path, browser: Browser) -> None:
    browser.get((place / "compare.html").as_uri())
    assert all_of(browser, "#differs")[0].text == "2 cells differ."
    (cell,) = all_of(browser, "td.differs a[aria-label='vex.0f 77 under linux-uprobes-6.18: refuted']")
    assert cell.text == "R"
    all_of(browser, "#right")[0].send_keys("linux")
    assert waited(browser, lambda: all_of(browser, "#differs")[0].text == "0 cells differ.")


def test_an_interleaving_is_stepped_back_and_forth(place: Path, browser: Browser) -> None:
    browser.get((place / "protocol-ref-count.html").as_uri())
    all_of(browser, ".trace summary")[0].click()
    button = {b.text: b for b in all_of(browser, ".trace button")}
    said = all_of(browser, ".said")[0]
    assert said.text == "Before the first step." and not button["Back"].is_enabled()
    for _ in range(3):
        button["Forward"].click()
    assert said.text == "Step 3 of 8: thread 0, write_int3"
    assert "byte = int3" in all_of(browser, ".values")[0].text
    button["Back"].click()
    assert "byte = original" in all_of(browser, ".values")[0].text
    button["Last"].click()
    assert said.text.startswith("Step 8 of 8") and not button["Forward"].is_enabled()


def test_without_a_mouse(place: Path, browser: Browser) -> None:
    """From the first element on by Tab and Enter: the search, a result, and the form that it opens; then a trace."""
    browser.get((place / "linux-uprobes-6.18/index.html").as_uri())
    for _ in range(12):
        keys(browser, "TAB")
        if focused(browser) == "search":
            break
    keys(browser, *"pushfq")
    waited(browser, lambda: all_of(browser, "#found a"))
    keys(browser, "TAB", "ENTER")
    assert waited(browser, lambda: all_of(browser, "details[open][id='PUSHFQ/none']"))
    browser.get((place / "protocol-ref-count.html").as_uri())
    while not focused(browser).startswith("no-lock: "):
        keys(browser, "TAB")
    keys(browser, "ENTER", "ARROW_RIGHT", "ARROW_RIGHT", "ARROW_LEFT")
    assert all_of(browser, ".said")[0].text.startswith("Step 1 of 8")


def test_dark(place: Path, browser: Browser) -> None:
    browser.get((place / "index.html").as_uri())
    background = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(background)
    dark(browser)
    assert (light, browser.execute_script(background)) == ("rgb(255, 255, 255)", "rgb(20, 20, 20)")


def dark(browser: Browser) -> None:
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@pytest.mark.parametrize("page", PAGES)
def test_a_narrow_window(page: str, place: Path, browser: Browser) -> None:
    """320 pixels: what is wider scrolls by itself, the page does not."""
    narrow = {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    browser.get((place / page).as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 320


@pytest.mark.skipif(AXE is None, reason="missing: axe-core-python (the extra `browser`)")
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(page: str, is_dark: bool, place: Path, browser: Browser) -> None:
    if is_dark:
        dark(browser)
    browser.get((place / page).as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert serious(browser) == []


@pytest.mark.skipif(AXE is None, reason="missing: axe-core-python (the extra `browser`)")
def test_axe_finds_a_seeded_fault(place: Path, browser: Browser) -> None:
    browser.get((place / "index.html").as_uri())
    browser.execute_script("document.body.insertAdjacentHTML('beforeend', '<main><input></main><img src=x>')")
    assert any(found.startswith("image-alt") for found in serious(browser))


def serious(browser: Browser) -> list[str]:
    """What axe-core calls serious or critical, each with the first element."""
    assert AXE is not None and AXE.origin is not None
    browser.execute_script((Path(AXE.origin).parent / "axe.min.js").read_text("utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[0])")
    bad = [v for v in found["violations"] if v["impact"] in {"serious", "critical"}]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in bad]


def test_first_load_is_one_small_file(place: Path, browser: Browser) -> None:
    browser.get((place / "linux-uprobes-6.18/index.html").as_uri())
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert (place / "linux-uprobes-6.18/index.html").stat().st_size < 2_000_000

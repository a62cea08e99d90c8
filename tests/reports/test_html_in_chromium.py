"""The page in a real browser: no console message, no request, nothing wider than the window, readable in light and dark."""

import os
import shutil

import pytest
from hostile_strings import hostile_report
from sample_report import empty_report, quiet_report, sample_report

from bezoar.reports.html_report import HtmlReport

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
IN_CI = os.environ.get("CI", "").lower() == "true"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage")
pytestmark = [pytest.mark.browser, pytest.mark.skipif((BROWSER is None or DRIVER is None) and not IN_CI,
                                                      reason="needs chromium and chromedriver (Debian: apt install chromium chromium-driver)")]

OVERFLOW = """(() => {
  const wide = document.scrollingElement.clientWidth, out = [];
  for (const e of document.querySelectorAll('body *')) {
    const r = e.getBoundingClientRect();
    if (r.width && (r.right > wide + 0.5 || r.left < -0.5) && getComputedStyle(e).position !== 'absolute' && !e.closest('svg > *, .scroll table'))
      out.push(e.tagName + '.' + e.getAttribute('class') + ' ' + Math.round(r.left) + '..' + Math.round(r.right));
  }
  return JSON.stringify({scroll: document.scrollingElement.scrollWidth, wide: wide, out: out.slice(0, 5)});
})()"""

CONTRAST = """(() => {
  const parse = c => (c.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const lum = c => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const out = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode, e = node.parentElement;
    if (!node.data.trim() || !e.getClientRects().length) continue;
    seen += 1;
    const style = getComputedStyle(e), svg = e.closest('svg');
    let ground = [255, 255, 255];
    for (let p = svg ? svg.parentElement : e; p; p = p.parentElement) {
      const c = parse(getComputedStyle(p).backgroundColor);
      if (c.length < 4 || c[3] > 0) { ground = c; break; }
    }
    const a = lum(parse(svg ? style.fill : style.color)), b = lum(ground);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) out.push(node.data.trim().slice(0, 30) + ' ' + ratio.toFixed(2));
  }
  return JSON.stringify({seen: seen, out: out.slice(0, 8)});
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    if BROWSER is None or DRIVER is None:
        pytest.fail("CI=true and there is no chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    wide = "W" * 4000
    made = {"rich": sample_report(), "quiet": quiet_report(), "empty": empty_report(), "wide": hostile_report(wide),
            "markup": hostile_report("</style><img src=http://evil.example/x.png onerror=alert(1)><script>alert(1)</script>"),
            "bidi": hostile_report("\u202eabc\u2066\u0301" * 40)}
    for name, report in made.items():
        (folder / f"{name}.html").write_bytes(HtmlReport().render(report))
    return folder


def evaluate(browser, expression):
    import json

    return json.loads(browser.execute_cdp_cmd("Runtime.evaluate", {"expression": expression})["result"]["value"])


def open_page(browser, path, width, scheme="light"):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(path.as_uri())
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": "document.querySelectorAll('details').forEach(d => { d.open = true; })"})


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("name", ["rich", "quiet", "empty", "wide", "markup", "bidi"])
def test_quiet_alone_and_inside_the_window(browser, pages, name, width):
    import json

    open_page(browser, pages / f"{name}.html", width)
    assert browser.get_log("browser") == []
    events = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert asked
    assert all(u.startswith(("file:///", "data:")) for u in asked), asked
    assert {u for u in asked if u.startswith("file:")} == {(pages / f"{name}.html").as_uri()}
    seen = evaluate(browser, OVERFLOW)
    assert seen["scroll"] <= width, seen
    assert seen["out"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["rich", "quiet", "empty"])
def test_text_stands_out_from_its_ground(browser, pages, name, scheme):
    open_page(browser, pages / f"{name}.html", 1280, scheme)
    seen = evaluate(browser, CONTRAST)
    assert seen["seen"] > 20
    assert seen["out"] == []
    ground = evaluate(browser, "JSON.stringify(getComputedStyle(document.body).backgroundColor)")
    assert (sum(int(v) for v in ground.strip("rgb() ").split(",")) < 200) == (scheme == "dark")


def test_style_is_applied_under_the_policy(browser, pages):
    """A wrong hash would leave the page bare and only say so in the console."""
    open_page(browser, pages / "rich.html", 1280)
    assert evaluate(browser, "JSON.stringify(getComputedStyle(document.querySelector('.tiles')).display)") == "grid"
    drawn = evaluate(browser, "JSON.stringify([...document.images].map(i => i.naturalWidth))")
    assert len(drawn) > 30
    assert min(drawn) > 0


def test_hostile_page_runs_nothing(browser, pages):
    from selenium.common.exceptions import NoAlertPresentException

    open_page(browser, pages / "markup.html", 390)
    with pytest.raises(NoAlertPresentException):
        _ = browser.switch_to.alert.text
    assert evaluate(browser, "JSON.stringify(document.querySelectorAll('script, iframe, object, embed').length)") == 0

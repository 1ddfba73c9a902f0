"""The built site: links resolve, nothing comes from elsewhere, and a browser opens every page without a complaint."""

import contextlib
import functools
import http.server
import re
import shutil
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).resolve().parents[2] / "docs" / "_build" / "html"
# Links, scripts, styles, images and fonts: an anchor may lead elsewhere, the others are loaded.
LOADED = {
    "script": "src",
    "link": "href",
    "img": "src",
    "source": "src",
    "iframe": "src",
    "video": "src",
    "object": "data",
}
ADDRESS = re.compile(r"^(?:https?:)?//")

pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").is_file(), reason="the site is not built: no docs/_build/html, run make docs"
)


class Page(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and LOADED[tag] in given:
            self.loaded.append(given[LOADED[tag]])


@pytest.fixture(scope="module")
def pages():
    return {path: Page(path) for path in sorted(SITE.rglob("*.html")) if "_static" not in path.parts}


def test_links_resolve(pages):
    broken = []
    for path, page in pages.items():
        for link in {*page.links, *page.loaded}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            known = pages.get(target)
            if not target.is_file() or (known and parts.fragment and unquote(parts.fragment) not in known.anchors):
                broken.append(f"{path.relative_to(SITE)}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(pages):
    foreign = [f"{path.name}: {url}" for path, page in pages.items() for url in page.loaded if ADDRESS.match(url)]
    styles = re.compile(r"""(?:url\(|@import)\s*['"]?((?:https?:)?//[^'")\s]+)""")
    for path in [*SITE.rglob("*.css"), *SITE.rglob("*.html")]:
        foreign += [f"{path.name}: {url}" for url in styles.findall(path.read_text("utf-8", errors="replace"))]
    assert foreign == []


def test_every_example_has_its_figures(pages):
    for path in SITE.glob("gallery/plot_*.html"):
        assert any("_images/sphx_glr_" in url for url in pages[path].loaded), path.name


def test_no_example_warns():
    warned = [path.name for path in SITE.glob("gallery/plot_*.html") if "Warning:" in path.read_text("utf-8")]
    assert warned == []


@pytest.fixture(scope="module")
def address():
    """Serve the site on a free port."""
    handler = functools.partial(QuietHandler, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves without a log."""

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def browser():
    """Return a headless Chromium, or skip."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install '.[docs]'")
    from selenium.webdriver.chrome.service import Service

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium with its driver on the path: apt-get install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1300,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = selenium.Chrome(options=options, service=Service(driver))
    opened.set_page_load_timeout(120)
    yield opened
    opened.quit()


MISSING_IMAGES = """
const done = arguments[arguments.length - 1];
const images = [...document.images];
images.forEach(image => { image.loading = "eager"; });
Promise.allSettled(images.map(image => image.decode())).then(
    () => done(images.filter(image => image.naturalWidth === 0).map(image => image.src)));
"""


def test_every_page_opens_in_a_browser(browser, address, pages):
    complaints = []
    browser.set_script_timeout(60)
    for path in pages:
        name = path.relative_to(SITE).as_posix()
        if name.startswith("_modules/"):
            continue
        browser.get(f"{address}/{name}")
        complaints += [f"{name}: no image {url}" for url in browser.execute_async_script(MISSING_IMAGES)]
        complaints += [f"{name}: {e['message']}" for e in browser.get_log("browser") if e["level"] == "SEVERE"]
        loaded = browser.execute_script("return performance.getEntriesByType('resource').map(r => r.name)")
        complaints += [f"{name} loads {url}" for url in loaded if not url.startswith((address, "data:"))]
    assert complaints == []


def test_the_search_finds_a_forecaster(browser, address):
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(f"{address}/search.html?q=CNMMForecaster")
    found = "return [...document.querySelectorAll('#search-results ul.search li a')].map(a => a.href)"
    page = "api/generated/gridcast.CNMMForecaster.html"
    with contextlib.suppress(TimeoutException):
        WebDriverWait(browser, 60).until(lambda b: any(page in href for href in b.execute_script(found)))
    assert any(page in href for href in browser.execute_script(found))

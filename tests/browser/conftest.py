"""A headless Chromium that cannot reach anything but this machine, and tells what a page asked for."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No name resolves: a page that needs the network shows it here and not at a user's desk.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
BROWSERS_OWN = ("about:", "chrome:")
PATIENCE = 60  # seconds; a loaded machine is slow, a broken page is not late


@dataclass(frozen=True)
class Browser:
    """What the tests need of a browser."""

    driver: webdriver.Chrome

    def open(self, address: str) -> None:
        """Load a page; what earlier ones asked for and logged is forgotten."""
        self.driver.get("about:blank")  # first, so that an earlier page is done asking
        self._log("performance")
        self._log("browser")
        self.driver.get(address)

    def look(self, *, width: int = 1280, height: int = 900, scheme: Literal["light", "dark"] = "light") -> None:
        """Set the window and the colour scheme the user asked for."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def requests(self) -> list[str]:
        """Addresses the page asked for, answered or not; the browser's own pages, like that of a new tab, aside."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        sent = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if not address.startswith(BROWSERS_OWN)]

    def console(self) -> list[str]:
        """What the page logged as an error or a warning."""
        return [entry["message"] for entry in self._log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def run(self, script: str, *arguments: Any) -> Any:
        """The value a script returns."""
        return self.driver.execute_script(script, *arguments)

    @property
    def text(self) -> str:
        """What can be seen, in one line of normal spaces."""
        return " ".join(self.driver.find_element(By.TAG_NAME, "body").text.split())

    def wait_for(self, *texts: str) -> None:
        """Wait until the page shows all of ``texts``."""
        missing = list(texts)

        def shown(_: webdriver.Chrome) -> bool:
            text = self.text
            missing[:] = [one for one in texts if one not in text]
            return not missing

        try:
            WebDriverWait(self.driver, PATIENCE, ignored_exceptions=[Exception]).until(shown)
        except Exception:
            pytest.fail(f"page never showed {missing}; it shows: {self.text[:2000]}")

    def _log(self, kind: str) -> list[dict[str, Any]]:
        return self.driver.get_log(kind)


@pytest.fixture(scope="session")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    binary, driver = next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
    if not (binary and driver):
        reason = (
            f"no {' or '.join(BROWSERS) if not binary else 'chromedriver'}: apt-get install chromium chromium-driver"
        )
        give_up: Callable[[str], None] = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


@pytest.fixture
def browser(chrome: webdriver.Chrome) -> Browser:
    browser = Browser(chrome)
    browser.look()
    return browser


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the made-up pipeline whose pages are looked at."""
    return tmp_path_factory.mktemp("pipeline")

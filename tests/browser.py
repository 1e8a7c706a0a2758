"""A page in headless Chromium: what its scripts say, and real keys and drags of the mouse."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import websocket  # comes with JupyterLab

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Page:
    """A page that is open, spoken to over the DevTools protocol."""

    def __init__(self, address: str):
        self.socket = websocket.create_connection(address, timeout=60, suppress_origin=True)
        self.numbers = itertools.count(1)

    def send(self, method: str, **parameters: object) -> dict:
        """The result of one command; RuntimeError where it fails."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            pass  # events
        if "error" in answer:
            raise RuntimeError(answer["error"]["message"])
        return answer["result"]

    def value(self, script: str) -> object:
        """What a JavaScript expression gives; RuntimeError where it throws."""
        how = {"returnByValue": True, "awaitPromise": True}
        answer = self.send("Runtime.evaluate", expression=script, **how)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """A key of the keyboard, such as "ArrowRight" or "Tab"."""
        for kind in ("rawKeyDown", "keyUp"):
            code = {"Tab": 9, "End": 35, "Home": 36, "ArrowRight": 39, "Escape": 27}[key]
            where = {"key": key, "code": key, "windowsVirtualKeyCode": code}
            self.send("Input.dispatchKeyEvent", type=kind, **where)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """The mouse pressed at one point of the window, moved, and let go at another."""
        left = {"button": "left", "buttons": 1, "clickCount": 1}
        middle = tuple((a + b) / 2 for a, b in zip(start, end, strict=True))
        for kind, (x, y) in zip(
            ("mousePressed", "mouseMoved", "mouseMoved", "mouseReleased"),
            (start, middle, end, end),
            strict=True,
        ):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **left)


@contextlib.contextmanager
def opened(path: Path, width: int = 1280, height: int = 900, script: bool = True) -> Iterator[Page]:
    """A file in a window of this size; the test is skipped where there is no Chromium."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip("no Chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as private:
        how = ["--headless", "--disable-gpu", "--remote-debugging-port=0", "--hide-scrollbars"]
        how += [f"--user-data-dir={private}", "--no-first-run"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # the browser's sandbox refuses root
            how.append("--no-sandbox")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([browser, *how, "about:blank"], **quiet)
        try:
            page = Page(_address(Path(private) / "DevToolsActivePort"))
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            page.send("Emulation.setDeviceMetricsOverride", **size)
            page.send("Emulation.setScriptExecutionDisabled", value=not script)
            page.send("Page.navigate", url=path.resolve().as_uri())
            while page.value("document.readyState") != "complete":
                time.sleep(0.05)
            yield page
        finally:
            process.terminate()
            process.wait()


def _address(port_file: Path) -> str:
    for _ in range(300):
        if port_file.exists() and port_file.read_text().strip():
            port = port_file.read_text().split()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [p for p in json.load(answer) if p["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]
        time.sleep(0.1)
    raise TimeoutError("Chromium did not start within 30 seconds")

"""A headless Chromium by the WebDriver protocol, with nothing but the standard library."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

# WebDriver's names of keys.
KEYS = {"ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015", "Home": "\ue011", "Tab": "\ue004"}
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
# Whatever proxy is set, the driver is on this machine.
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def missing():
    """What is not installed, in words; None if all is there."""
    for names in [("chromium", "chromium-browser", "google-chrome"), ("chromedriver",)]:
        if not any(map(shutil.which, names)):
            return f"no {names[0]} (Debian: apt-get install chromium chromium-driver)"
    return None


class Browser:
    """A browser with one page; use it in a `with` statement."""

    def __init__(self):
        self.home = tempfile.TemporaryDirectory()
        self.driver = subprocess.Popen(
            [shutil.which("chromedriver"), "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "HOME": self.home.name},
        )
        try:
            port = next(m[1] for line in self.driver.stdout if (m := re.search(r"on port ([1-9][0-9]*)", line)))
            self.base = f"http://127.0.0.1:{port}/session"
            binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
            flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
            options = {"binary": binary, "args": [*flags, f"--user-data-dir={self.home.name}/profile"]}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            session = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
            self.base += "/" + session["sessionId"]
        except BaseException:
            self.driver.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(timeout=10)
            self.home.cleanup()

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with LOCAL.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.read().decode()[:600]}") from error

    def go(self, address):
        """Opens a page from nothing, even one that differs from the last by its hash alone."""
        self._call("POST", "/url", {"url": "about:blank"})
        self._call("POST", "/url", {"url": address})

    def run(self, script, *arguments):
        """Runs JavaScript in the page; what it returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def until(self, script, seconds=20):
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"return {script}"):
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {script}; {self.log()}")
            time.sleep(0.05)

    def type(self, selector, *keys):
        """Types into the element that a CSS selector names."""
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        text = "".join(KEYS.get(key, key) for key in keys)
        self._call("POST", f"/element/{found[ELEMENT]}/value", {"text": text})

    def drag(self, start, end, kind="mouse"):
        """Presses the mouse (or kind="touch", a finger) at one point of the window, moves it to another and lets go."""
        move = lambda at, ms: {"type": "pointerMove", "duration": ms, "x": round(at[0]), "y": round(at[1])}
        actions = [move(start, 0), {"type": "pointerDown", "button": 0}, move(end, 50), {"type": "pointerUp", "button": 0}]
        pointer = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": actions}
        self._call("POST", "/actions", {"actions": [pointer]})

    def devtools(self, command, **parameters):
        """A command of the DevTools protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def window(self, width, height, dark=False, phone=False):
        """The size of the window, and whether it is dark, and a phone's."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path, whole=True):
        """A picture of the page, as long as it is or of the window alone."""
        picture = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(picture["data"]))

    def log(self):
        """What the console said since the last call: (level, message)."""
        return [(e["level"], e["message"]) for e in self._call("POST", "/se/log", {"type": "browser"})]

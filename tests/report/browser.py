"""A headless Chromium, spoken to over a pipe (DevTools protocol), so that a page can be measured as a reader sees it."""

import base64
import json
import os
import re
import shutil
import subprocess
import zlib

BINARY = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
]

# the lowest contrast of any text that can be seen
CONTRAST = """(() => {
  const rgb = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => { const v = rgb(c).slice(0, 3).map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
  const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (rgb(c)[3] !== 0) return c; } return 'rgb(255, 255, 255)'; };
  let worst = 99;
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
    worst = Math.min(worst, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return worst; })()"""


class Browser:
    """One page of a browser; `events` holds everything that it reported."""

    def __init__(self, profile):
        here, there = os.pipe(), os.pipe()
        # The browser reads commands from descriptor 3 and writes answers to 4.
        shell = f'exec "$@" 3<&{here[0]} 4>&{there[1]}'
        command = ["bash", "-c", shell, "bash", BINARY, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(command, pass_fds=(here[0], there[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(here[0])
        os.close(there[1])
        self.out, self.into = os.fdopen(here[1], "wb", buffering=0), os.fdopen(there[0], "rb")
        self.buffer, self.n, self.session, self.events = b"", 0, None, []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.out.close()
        self.into.close()
        self.process.terminate()
        self.process.wait(20)

    def send(self, method, **parameters):
        """Call a method and return its result."""
        self.n += 1
        message = {"id": self.n, "method": method, "params": parameters} | ({"sessionId": self.session} if self.session else {})
        self.out.write(json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self.n:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def open(self, path, width=1280, height=900, scheme="light"):
        """Load a file at a given width and colour scheme."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.send("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.send("Page.navigate", url=path.as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self._read())

    def reported(self, *methods):
        """Parameters of the events of some kinds since the page was opened."""
        return [e["params"] for e in self.events if e.get("method") in methods]

    def assert_alone(self, path):
        """All pictures shown, nothing but the file requested, and nothing complained of."""
        assert self.js("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        urls = {e["request"]["url"] for e in self.reported("Network.requestWillBeSent")}
        assert {u for u in urls if not u.startswith("data:")} == {path.as_uri()}
        assert self.reported("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded") == []

    def js(self, expression):
        """Value of a JavaScript expression in the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def screenshot(self):
        """PNG of the whole page."""
        return base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def pdf(self):
        """The page as printed."""
        return base64.b64decode(self.send("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])

    def _read(self):
        while b"\0" not in self.buffer:
            chunk = self.into.read1(1 << 16)
            if not chunk:
                raise RuntimeError("the browser has gone")
            self.buffer += chunk
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)


def paper(content):
    """Width and height of the pages of a PDF, points."""
    streams = [_inflated(s) for s in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL)]
    found = [box for part in (content, *streams) for box in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", part)]
    return [(float(w), float(h)) for w, h in found]


def _inflated(stream):
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""

"""Opens a page in headless Chromium over its debugging pipe, waits until it shows a text, and prints what it shows as JSON:
{"text": …, "errors": […], "past": what the cursor over the past shows, …}. Arguments: chromium, url, width, height, text to wait for, file for a screenshot (or "-")."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"]


class Browser:
    def __init__(self, program, profile):
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()

        def wire():
            # Chromium reads commands on 3 and answers on 4; the copies go first so that neither overwrites the other.
            a, b = os.dup(to_read), os.dup(from_write)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"], preexec_fn=wire, close_fds=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(from_write)
        self.out, self.inp = os.fdopen(to_write, "wb", 0), os.fdopen(from_read, "rb", 0)
        self.number, self.rest, self.errors, self.session = 0, b"", [], None

    def message(self):
        while b"\0" not in self.rest:
            more = self.inp.read(65536)
            if not more:
                raise SystemExit("chromium has ended")
            self.rest += more
        raw, self.rest = self.rest.split(b"\0", 1)
        return json.loads(raw)

    def ask(self, method, **params):
        self.number += 1
        command = {"id": self.number, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        self.out.write(json.dumps(command).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"].get("exception", {}).get("description", "exception"))
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']}")
                return answer["result"]

    def value(self, expression):
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")


def before(browser):
    """What the page tells of the moment half way between the left end of the day's chart and now."""
    place = browser.value("""(() => {
        document.querySelector('.day .rows').scrollIntoView();
        const top = document.querySelector('.day .row .plot').getBoundingClientRect().top;
        const left = document.querySelector('.day .ruler div').getBoundingClientRect().left;
        return { x: left + Number(document.querySelector('.day line.now').getAttribute('x1')) / 2, y: top + 10 };
    })()""")
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", **place)
    time.sleep(2)
    shown = lambda part: browser.value(f"[...document.querySelectorAll('.day .reasons{part}')].map((e) => e.innerText).join('\\n')")
    return {"text": shown(""), "moment": shown(" .moment b"), "reasons": shown(" li")}


def main():
    program, url, width, height, wanted, picture = sys.argv[1:7]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
            browser.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            browser.ask("Runtime.enable")
            browser.ask("Page.enable")
            browser.ask("Emulation.setDeviceMetricsOverride", width=int(width), height=int(height), deviceScaleFactor=1,
                        mobile=int(width) < 600)
            browser.ask("Page.navigate", url=url)
            end = time.monotonic() + 30
            text = ""
            while time.monotonic() < end and wanted not in text:
                time.sleep(0.3)
                text = browser.value("document.body.innerText") or ""
            time.sleep(2)
            if picture != "-":
                shot = browser.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
                with open(picture, "wb") as file:
                    file.write(base64.b64decode(shot["data"]))
            text = browser.value("document.body.innerText") or ""
            wide = browser.value("document.documentElement.scrollWidth > innerWidth")
            # what is drawn of the day: prices, and what was measured
            drawn = {name: browser.value(f"document.querySelectorAll('.day .plot {shape}').length")
                     for name, shape in (("prices", "rect.tariff"), ("actual", "path.line[d^=M]"))}
            past = before(browser)
            print(json.dumps({"text": text, "errors": browser.errors, "wider_than_screen": wide, "drawn": drawn, "past": past}))
        finally:
            browser.process.kill()
            browser.process.wait()


main()

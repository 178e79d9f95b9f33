"""Opens playground.html in a headless Chromium and checks what it shows.

Usage: test.py PAGE.html [--screenshots FOLDER]

Prints one line a check. Needs chromium and chromedriver, and nothing from the network: the page is opened from `file:`.
Numbers are compared with ../c/expected.txt, which another program with the same core printed.
"""

import argparse
import pathlib
import re

from webdriver import Browser, missing

HERE = pathlib.Path(__file__).parent
# The case of ../c/main.c.
SAME_AS_C = "#z=3,1.5,0,-1.8,-3.5&mode=0&minus=4&plus=3&s=1"


def expected():
    """Label by label (π, log growth), the threshold, and (steps, π of y*) from what the C program prints."""
    text = (HERE.parent / "c" / "expected.txt").read_text()
    labels = re.findall(r"^\d +([\d.]+) +[-+][\d.]+ +[-+][\d.]+ +([-+][\d.]+)", text, re.M)
    threshold = re.search(r"pi must be above ([\d.]+)", text)[1]
    repeated = re.findall(r"^ +(\d+)  ([\d.]+)  \d", text, re.M)
    assert len(labels) == 5 and len(repeated) == 5, "../c/expected.txt has another form"
    return labels, threshold, repeated


class Page:
    """The page under test."""

    def __init__(self, browser, path):
        self.browser, self.address = browser, path.resolve().as_uri()

    def open(self, choices=""):
        self.browser.go(self.address + choices)
        self.browser.until("document.documentElement.dataset.ready === 'yes'")

    def text(self, selector):
        found = self.browser.run("return document.querySelector(arguments[0]).textContent", selector)
        return found.replace("\u00a0", " ")

    def table(self):
        """The cells of the table of labels."""
        rows = self.browser.run(
            "return [...document.querySelectorAll('#numbers tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
        )
        return [[cell.replace("−", "-") for cell in row] for row in rows]

    def slide(self, name, value):
        self.browser.run(
            "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event('input', { bubbles: true }))",
            name,
            value,
        )

    def claims(self):
        """By statement: whether it holds, says nothing or fails."""
        return dict(self.browser.run("return [...document.querySelectorAll('#claims li')].map(l => [l.dataset.id, l.className])"))

    def failing(self):
        return int(self.browser.run("return document.getElementById('statements').dataset.fails"))


def numbers_are_the_cores(page):
    labels, threshold, repeated = expected()
    page.open(SAME_AS_C + "&n=1")
    for row, (pi, growth) in zip(page.table(), labels, strict=True):
        assert row[1] == pi and row[3] == growth, f"{row}: expected π {pi}, log α {growth}"
    assert f"τ = {100 * float(threshold):.1f} %" in page.text('[data-id="exact/N4"]'), page.text('[data-id="exact/N4"]')
    for steps, top in repeated:
        page.slide("steps", steps)
        assert page.table()[0][2] == top, f"{steps} steps: {page.table()[0]}, expected {top}"


def sliders_and_keys_change_the_numbers(page):
    page.open()
    seen = {page.text("#summary")}
    for name, value in [("step", 9), ("steps", 40), ("vocab", 12)]:
        page.slide(name, value)
        seen.add(page.text("#summary"))
    assert len(seen) == 4, seen
    page.open("#start=0&v=10&minus=7&n=1")
    page.browser.type('.bar[tabindex="0"]', "Home")
    before = page.table()
    page.browser.type('.bar[data-label="0"]', "ArrowUp", "ArrowUp")
    after = page.table()
    assert before[0][1] == "0.1000" and after[0][1] == "0.1210", (before[0], after[0])
    others = {row[1] for row in after[1:]}
    assert others == {"0.0977"}, others  # they keep their proportions
    page.browser.type('.bar[data-label="0"]', "-")
    assert "away from label 0" in page.text("#summary"), page.text("#summary")


def bars_are_dragged(page):
    top = "const b = document.querySelector('.bar[data-label=\"1\"] .handle').getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]"
    for kind in ("mouse", "touch"):
        page.open("#start=0&v=4&minus=3&n=1")
        at = page.browser.run(top)
        page.browser.drag(at, [at[0], at[1] + 60], kind)
        p = float(page.table()[1][1])
        assert 0.02 < p < 0.23, f"{kind}: {p}"
        assert abs(sum(float(row[1]) for row in page.table()) - 1) < 3e-4
        assert page.browser.run("return document.querySelector('input[name=start]:checked').value") == "own"
    page.open(page.browser.run("return location.hash"))
    assert abs(float(page.table()[1][1]) - p) < 1e-4, "the address does not bring the distribution back"


def theorems_hold_on_screen(page):
    for mode, always in [(0, ["N1", "N2", "N3", "N4"]), (1, ["L1", "L2", "L3", "L4"]), (2, ["P1", "P2", "P3"])]:
        for start in range(4):
            for steps, size in [(1, 0.1), (1, 10), (7, 1), (100, 2)]:
                page.open(f"#start={start}&mode={mode}&n={steps}&s={size}")
                claims, case = page.claims(), (mode, start, steps, size)
                assert all(claims[f"exact/{name}"] == "holds" for name in always), (case, claims)
                assert "fails" not in claims.values() and page.failing() == 0, (case, claims)
    page.open("#start=0&v=10&minus=7&n=1&s=1")
    assert "9 labels rise, 1 falls" in page.text("#summary"), page.text("#summary")
    page.open("#start=2&n=40&s=1")
    assert page.text("#summary").startswith("1 label rises, 23 fall"), page.text("#summary")


def a_wrong_step_is_noticed(page):
    page.open("#start=2&n=1&s=1")
    page.browser.run("core.plant_fault(1); update()")
    claims = page.claims()
    assert page.failing() > 10 and claims["exact/N1"] == "fails", claims
    assert "FAILS" in page.text("#claims")


def plays(page):
    page.open("#start=2&n=8&s=1")
    page.browser.run("document.getElementById('play').click()")
    page.browser.until("shown > 0 && shown < 8", 10)
    page.browser.until("shown === 8 && playing === null", 20)
    assert "8 steps" in page.text("#summary")


def says_what_bars_show(page):
    page.open()
    bars = page.browser.run(
        "return [...document.querySelectorAll('.bar')].map(b => ['role', 'aria-label', 'aria-valuenow', 'aria-valuetext'].map(a => b.getAttribute(a)))"
    )
    assert len(bars) == 24 and all(role == "slider" and label and now and text for role, label, now, text in bars), bars[:2]
    assert sum("y*" in label for _, label, _, _ in bars) == 1 and sum("y⁻" in label for _, label, _, _ in bars) == 1
    reached = page.browser.run("return document.querySelectorAll('.bar[tabindex=\"0\"]').length")
    assert reached == 1, f"{reached} bars are reached by the tab key"
    unnamed = page.browser.run(
        "return [...document.querySelectorAll('input, select, button')].filter(e => !e.labels?.length && !e.textContent).length"
    )
    assert unnamed == 0, f"{unnamed} controls have no name"


def fits(page, screenshots):
    for name, width, height, dark, phone, choices in [
        ("wide-light", 1280, 900, False, False, ""),
        ("wide-dark", 1280, 900, True, False, "#start=2&n=40&s=1"),
        ("phone-light", 390, 844, False, True, "#start=2&n=12&s=1"),
        ("phone-dark", 320, 640, True, True, "#start=1&mode=1&v=30&n=1&s=3"),
    ]:
        page.browser.window(width, height, dark, phone)
        page.open(choices)
        wide = page.browser.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= width, f"{name}: {wide[0]} pixels wide in a window of {width}"
        ground = page.browser.run("return getComputedStyle(document.body).backgroundColor")
        light = sum(map(int, re.findall(r"\d+", ground)[:3])) > 384
        assert light != dark, f"{name}: the ground is {ground}"
        bars = page.browser.run("return [...document.querySelectorAll('.bar .was-bar')].map(b => b.getBoundingClientRect().width)")
        assert bars and min(bars) > 2, f"{name}: bars of {bars} pixels"
        if screenshots:
            page.browser.screenshot(screenshots / f"playground-{name}.png")
    page.browser.window(1280, 900)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("page", type=pathlib.Path)
    arguments.add_argument("--screenshots", type=pathlib.Path)
    arguments = arguments.parse_args()
    if why := missing():
        print(f"   skipped: {why}")
        raise SystemExit(77)
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    with Browser() as browser:
        browser.window(1280, 900)
        page = Page(browser, arguments.page)
        checks = [numbers_are_the_cores, sliders_and_keys_change_the_numbers, bars_are_dragged, theorems_hold_on_screen]
        for check in [*checks, a_wrong_step_is_noticed, plays, says_what_bars_show]:
            check(page)
            print(f"   {check.__name__.replace('_', ' ')}")
        fits(page, arguments.screenshots)
        print("   fits wide and narrow windows, light and dark")
        said = browser.log()
        assert not said, f"the console says: {said}"
        print("   says nothing on the console")


if __name__ == "__main__":
    main()

"""Puts the page together: page/ and the module, in one file.

Usage: assemble.py PLAYGROUND.WASM "WHAT COMPILED IT" > playground.html
"""

import base64
import pathlib
import sys

here = pathlib.Path(__file__).parent / "page"
module, compiler = sys.argv[1:]
text = (here / "page.html").read_text()
parts = {
    "style": (here / "style.css").read_text(),
    "script": (here / "script.js").read_text(),
    "wasm": base64.b64encode(pathlib.Path(module).read_bytes()).decode(),
    "compiler": compiler,
}
for name, part in parts.items():
    if text.count("{{%s}}" % name) != 1:
        sys.exit(f"page.html has {{{{{name}}}}} not exactly once")
    text = text.replace("{{%s}}" % name, part)
sys.stdout.write(text)

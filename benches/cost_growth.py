#!/usr/bin/env python3
"""Shows that costs grow no faster than the work: a DPO step over tokens and over the vocabulary, a probe sweep over prompts.

Needs: cargo (or `--ldyn PATH`), Python >= 3.10 without packages; the gpt-neox-20b tokenizer and the probe file of
`data/` (`--data`; examples/configs/README.md tells where from). From the repository's root:

    python benches/cost_growth.py [--rounds 5] [--threads 2] [--svg cost_growth.svg] [--json FILE] [--ldyn PATH]

A model of Pythia-14M's shape with random weights, timed by `ldyn bench`, where one quantity doubles from point to point:

- tokens: 1, 2, 4, 8 and 16 pairs a step, each of a prompt of 128 tokens and two responses of 64;
- vocabulary: 1, 2, 4 and 8 times 50,304 labels, 4 pairs a step;
- prompts: 4, 8, 16, 32 and 64 probed prompts with their twelve kinds of responses.

A round goes through all points of a row once, and a point is the median of the rounds' medians. A line a + b·x through the points (least
relative squares; a is what does not depend on x, such as the optimiser's pass over the weights) says how far from linear
the row is: printed is the largest relative distance of a point from it, beside the aim of 10 %, and the seconds per unit at
the last point over those at the first. Work on prompts is counted in floating-point operations, since prompts differ in length.
Takes about 15 minutes on two cores.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from training_vs_torch import built_ldyn

HERE = Path(__file__).resolve().parent
SHAPE = json.loads((HERE.parent / "examples" / "configs" / "shapes" / "pythia-14m.json").read_text())
AIM = 0.10
ROWS = {"tokens": [1, 2, 4, 8, 16], "vocabulary": [1, 2, 4, 8], "prompts": [4, 8, 16, 32, 64]}
PROMPT, RESPONSE = 128, 64
COLOURS = {"tokens": "#0072b2", "vocabulary": "#d55e00", "prompts": "#009e73"}


def text(tokens, first):
    """About so many tokens: common words are one each."""
    words = ["the", "and", "for", "that", "with", "this", "from", "have", "they", "will"]
    return " ".join(words[(first + i) % len(words)] for i in range(tokens))


def write_inputs(folder):
    pairs = [{"prompt": text(PROMPT, i), "chosen": text(RESPONSE, i + 1), "rejected": text(RESPONSE, i + 5)} for i in range(64)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    for times in ROWS["vocabulary"]:
        (folder / f"shape-{times}.json").write_text(json.dumps(SHAPE | {"vocab_size": SHAPE["vocab_size"] * times}))
    (folder / "study.toml").write_text(
        f"output = '{folder / 'run'}'\n[model]\nconfig = '{folder / 'shape-1.json'}'\n[data]\ntrain = '{folder / 'pairs.jsonl'}'\n"
        "[[stages]]\nobjective = 'dpo'\nbatch_size = 4\n")


def point(options, folder, row, x):
    """Amount of work and seconds."""
    keys = {"model.tokenizer": options.data / "tokenizers" / "gpt-neox-20b" / "tokenizer.json", "probe.prompts": 1}
    if row == "tokens":
        keys |= {"stages.0.batch_size": x}
    elif row == "vocabulary":
        keys |= {"model.config": folder / f"shape-{x}.json"}
    else:
        keys |= {"probe.data": options.data / "hh-probe" / "probe_train.jsonl", "probe.prompts": x}
    command = [options.ldyn, "--threads", options.threads, "bench", folder / "study.toml", "--json", "--repeat", 3]
    command += [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    found = json.loads(done.stdout)
    parts = {part["name"]: part for part in found["parts"]}
    if row == "prompts":
        sweep = parts["a probe sweep"]
        return sweep["operations"], sweep["seconds"][0]
    amount = found["work"]["rows"] if row == "tokens" else SHAPE["vocab_size"] * x
    return amount, parts["a step"]["seconds"][0]


def line(points):
    """a and b of a + b·x with the least sum of squared relative distances."""
    s = [sum(x ** i / y ** 2 for x, y in points) for i in range(3)]
    t = [sum(x ** i / y for x, y in points) for i in range(2)]
    determinant = s[0] * s[2] - s[1] ** 2
    return (t[0] * s[2] - t[1] * s[1]) / determinant, (s[0] * t[1] - s[1] * t[0]) / determinant


def svg(rows):
    """Seconds over work, both as multiples of the first point, on logarithmic axes, with the straight lines."""
    from math import log2

    size, margin = 420, 50
    most = max(max(x / points[0][0] for x, _ in points) for points in rows.values())
    unit = (size - 2 * margin) / log2(most)
    at = lambda x, y: (margin + unit * log2(x), size - margin - unit * log2(max(y, 1)))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" font-family="sans-serif" font-size="12">',
           "<title>Cost growth: seconds over work, as multiples of the first point</title>", f'<rect width="{size}" height="{size}" fill="white"/>']
    (x0, y0), (x1, y1) = at(1, 1), at(most, most)
    out.append(f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="black"/><path d="M{x0} {y0}L{x1:.1f} {y1:.1f}" stroke="#bbb" stroke-dasharray="4"/>')
    for power in range(int(log2(most)) + 1):
        x, y = at(2 ** power, 2 ** power)
        out.append(f'<text x="{x:.1f}" y="{size - margin + 18}" text-anchor="middle">{2 ** power}</text>')
        out.append(f'<text x="{margin - 8}" y="{y + 4:.1f}" text-anchor="end">{2 ** power}</text>')
    out.append(f'<text x="{size / 2}" y="{size - 12}" text-anchor="middle">work</text><text x="14" y="{margin - 20}">seconds</text>')
    for i, (name, points) in enumerate(rows.items()):
        a, b = line(points)
        (first_x, first_y), colour = points[0], COLOURS[name]
        places = [at(x / first_x, y / first_y) for x, y in points]
        fit = [at(x / first_x, (a + b * x) / first_y) for x, _ in points]
        out.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in fit)}" fill="none" stroke="{colour}"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in places]
        out.append(f'<text x="{margin + 14}" y="{margin + 16 * i}" fill="{colour}">● {name}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--data", type=Path, default=HERE.parent / "data")
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--ldyn", type=Path)
    options = parser.parse_args()
    options.ldyn = options.ldyn or built_ldyn()
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_inputs(folder)
        for row in options.rows:
            rounds = []
            for number in range(options.rounds):
                print(f"\r{row}: round {number + 1} of {options.rounds}\033[K", end="", file=sys.stderr, flush=True)
                rounds.append([point(options, folder, row, x) for x in ROWS[row]])
            rows[row] = [(points[0][0], statistics.median(y for _, y in points)) for points in zip(*rounds)]
    print(file=sys.stderr)
    print(f"medians of {options.rounds} rounds, {options.threads} threads\n")
    print("| row | points (work: seconds) | fixed s | farthest from a line | last / first per unit | aim |\n|---|---|---:|---:|---:|---|")
    for row, points in rows.items():
        a, b = line(points)
        off = max(abs(y / (a + b * x) - 1) for x, y in points)
        per_unit = (points[-1][1] / points[-1][0]) / (points[0][1] / points[0][0])
        listed = ", ".join(f"{x:.3g}: {y:.3f}" for x, y in points)
        print(f"| {row} | {listed} | {a:.3f} | {off:.1%} | {per_unit:.2f} | ≤ {AIM:.0%}: {'met' if off <= AIM else 'MISSED'} |")
    if options.svg:
        options.svg.write_text(svg(rows))
    if options.json:
        options.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()

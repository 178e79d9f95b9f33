#!/usr/bin/env python3
"""Counts the monitor's alarms on runs that collapse and on runs that do not.

Needs: cargo; Python >= 3.9. From the repository's root:

    python benches/alarms.py [--seeds 1 2 3] [--healthy 1 2 3 4 5] [--work FOLDER] [--ldyn PATH]

Healthy runs are the demo's SFT stages, each on its own seed. Every collapsing run is a DPO stage on the
demo's pairs, with one thing overdone. A row says how far mean log π(y⁺) fell from its peak, which alarms were raised,
and what share of that fall had happened when they were; between two probes log π(y⁺) is interpolated.
`--ldyn` names a built program instead of building it; runs in FOLDER go on where they were cut off.
"""

import argparse
import json
import os
import subprocess
import tempfile

COMMON = {
    "data.max_length": 128,
    "data.max_prompt_length": 64,
    "stages.0.batch_size": 8,
    "stages.0.warmup_steps": 20,
    "probe.every_examples": 80,
    "probe.prompts": 30,
}
# The demo's DPO has a rate of 2e-5, beta 0.1 and 3 epochs, from the SFT model.
COLLAPSING = {
    "ten times the rate": ("run/sft", {"stages.0.learning_rate": 2e-4, "stages.0.epochs": 3}),
    "four times as long": ("run/sft", {"stages.0.learning_rate": 2e-5, "stages.0.epochs": 12}),
    "a tenth of beta, five times the rate": (
        "run/sft",
        {"stages.0.beta": 0.01, "stages.0.learning_rate": 1e-4, "stages.0.epochs": 3},
    ),
    "off-policy, from the base model": ("base", {"stages.0.learning_rate": 1e-4, "stages.0.epochs": 3}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--healthy", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--work")
    parser.add_argument("--ldyn")
    args = parser.parse_args()
    ldyn = args.ldyn or built()
    work = args.work or tempfile.mkdtemp(prefix="alarms-")

    silent = 0
    for seed in args.healthy:
        alarms = rows(os.path.join(demo(ldyn, work, seed), "run"), "alarms.jsonl")
        raised = [a["rule"] for a in alarms if a["stage"] == "sft"]
        silent += not raised
        print(f"healthy SFT, seed {seed}: {', '.join(raised) or 'silent'}", flush=True)
    print(f"{silent} of {len(args.healthy)} healthy runs were silent\n")

    print("| collapsing run | seed | log π(y⁺): start | peak | lowest | first alarm | step | share of the fall | all alarms, with their shares |")
    print("|---|--:|--:|--:|--:|---|--:|--:|---|")
    early = total = 0
    for name, (model, settings) in COLLAPSING.items():
        for seed in args.seeds:
            folder = demo(ldyn, work, seed)
            start_from = os.path.join(folder, model)
            out = os.path.join(folder, name.replace(" ", "-").replace(",", ""))
            train(ldyn, start_from, os.path.join(folder, "train.jsonl"), out, seed, settings)
            curve = chosen(out)
            start, peak = curve[0][1], max(value for _, value in curve)
            after = curve[[value for _, value in curve].index(peak):]
            low = min(value for _, value in after)
            shares = [(a["rule"], a["step"], (peak - at(curve, a["step"])) / (peak - low)) for a in rows(out, "alarms.jsonl")]
            total += 1
            early += bool(shares) and shares[0][2] < 0.5
            first = f"{shares[0][0]} | {shares[0][1]} | {shares[0][2]:.0%}" if shares else "none | – | –"
            every = ", ".join(f"{rule} {share:.0%}" for rule, _, share in shares)
            print(f"| {name} | {seed} | {start:.1f} | {peak:.1f} | {low:.1f} | {first} | {every} |", flush=True)
    print(f"\nin {early} of {total} runs the first alarm came before half of the fall")


def built():
    subprocess.run(["cargo", "build", "--release"], check=True)
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "ldyn")


def demo(ldyn, work, seed):
    """The folder of the demo: base model, pairs, and `run`."""
    folder = os.path.join(work, f"seed{seed}")
    if not os.path.exists(os.path.join(folder, "run", "report.html")):
        call([ldyn, "demo", "--seed", str(seed), "--output", folder, "--resume"])
    return folder


def train(ldyn, model, data, out, seed, settings):
    if os.path.exists(os.path.join(out, "report.html")):
        return
    command = [ldyn, "train", "dpo", "--model", model, "--data", data, "--output", out, "--resume"]
    for key, value in {"seed": seed, **COMMON, **settings, "stages.0.save": "false"}.items():
        command += ["--set", f"{key}={value}"]
    call(command)


def call(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}")


def rows(run, name):
    with open(os.path.join(run, name), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def chosen(run):
    """Step and mean log π(y⁺) of every probe."""
    steps = {}
    for row in rows(run, "probes.jsonl"):
        if row["kind"] == "chosen":
            steps.setdefault(row["step"], []).append(row["logp"])
    return [(step, sum(logps) / len(logps)) for step, logps in sorted(steps.items())]


def at(curve, step):
    for (left, low), (right, high) in zip(curve, curve[1:]):
        if left <= step <= right:
            return low + (high - low) * (step - left) / (right - left)
    return curve[-1][1]


if __name__ == "__main__":
    main()

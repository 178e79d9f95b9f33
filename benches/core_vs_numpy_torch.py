#!/usr/bin/env python3
"""Times ldyn-core beside numpy and torch on one thread, in turns, in one run.

Needs: cargo; Python >= 3.9 with numpy and torch. From the repository's root:

    python benches/core_vs_numpy_torch.py [--rounds 7] [--bench PATH]

It builds `benches/core.rs`, starts it with `--json` and asks it for one case at a time; each case is
then timed in numpy and torch before the next one starts, and all of that is done `--rounds` times.
Printed are medians over the rounds, and medians of each round's ratios: load that comes and goes
with the minutes falls on all alike. `copy` and `exp` are a copy of the row and the core's exponential
alone: what no softmax can do without. `--bench` names a built benchmark program instead of building it.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np  # noqa: E402 (after the number of threads)
import torch  # noqa: E402

torch.set_num_threads(1)
torch.set_grad_enabled(False)

VOCABS = (50, 1000, 50304, 151936)
WORK = ("softmax", "log_softmax", "adaptation")


def built_bench():
    command = ["cargo", "bench", "--bench", "core", "--no-run", "--message-format=json"]
    messages = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    artifacts = [m for m in map(json.loads, messages) if m.get("executable")]
    return next(m["executable"] for m in artifacts if m["target"]["name"] == "core")


class Core:
    """The benchmark program, asked for one case at a time."""

    def __init__(self, program):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program, "--json"], stdin=pipe, stdout=pipe, text=True, bufsize=1)

    def time(self, case):
        self.process.stdin.write(case + "\n")
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise SystemExit(f"{case}: {answer['error']}")
        return answer["ns"]


def nanoseconds(run):
    """As in core.rs: the median of 31 samples of some 0.3 ms."""
    start, runs = time.perf_counter(), 0
    while time.perf_counter() - start < 3e-4:
        run()
        runs += 1
    samples = []
    for _ in range(31):
        start = time.perf_counter()
        for _ in range(runs):
            run()
        samples.append((time.perf_counter() - start) * 1e9 / runs)
    return statistics.median(samples)


def in_numpy(work, dtype, vocab):
    rng = np.random.default_rng(0)
    z = rng.uniform(-10, 10, vocab).astype(dtype)
    out = np.empty_like(z)

    def softmax():
        np.subtract(z, z.max(), out=out)
        np.exp(out, out=out)
        np.divide(out, out.sum(), out=out)

    def log_softmax():
        np.subtract(z, z.max(), out=out)
        np.subtract(out, np.log(np.exp(out).sum()), out=out)

    softmax()
    pi = out.copy()

    def adaptation():
        np.subtract(z, pi @ z, out=out)

    return {"softmax": softmax, "log_softmax": log_softmax, "adaptation": adaptation}[work]


def in_torch(work, dtype, vocab):
    z = torch.empty(vocab, dtype=getattr(torch, dtype)).uniform_(-10, 10)
    pi, out = torch.softmax(z, 0), torch.empty_like(z)
    return {
        "softmax": lambda: torch.softmax(z, 0, out=out),
        "log_softmax": lambda: torch.log_softmax(z, 0, out=out),
        "adaptation": lambda: torch.sub(z, torch.dot(pi, z), out=out),
    }[work]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bench", help="a built benches/core.rs")
    options = parser.parse_args()
    core = Core(options.bench or built_bench())
    cases = [(work, dtype, vocab) for work in WORK for dtype in ("float32", "float64") for vocab in VOCABS]
    peers = {case: (in_numpy(*case), in_torch(*case)) for case in cases}
    rounds = {case: [] for case in cases}
    for _ in range(options.rounds):
        for case in cases:
            work, dtype, vocab = case
            row = f"{dtype.replace('float', 'f')}/{vocab}"
            times = [core.time(f"softmax/{row}/copy"), core.time(f"softmax/{row}/exp"), core.time(f"{work}/{row}/core")]
            rounds[case].append(times + [nanoseconds(peer) for peer in peers[case]])

    print(f"torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), numpy {np.__version__}")
    print(f"1 thread, medians of {options.rounds} rounds, in ns; ratios above 1 are in the core's favour but the last\n")
    print("| work | type | V | copy | exp | core | numpy | torch | numpy/core | torch/core | core/(copy + exp) |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for (work, dtype, vocab), times in rounds.items():
        medians = [f"{statistics.median(column):.0f}" for column in zip(*times)]
        ratios = [(n / own, t / own, own / (copy + exp)) for copy, exp, own, n, t in times]
        ratios = [f"{statistics.median(column):.2f}" for column in zip(*ratios)]
        if work == "adaptation":
            ratios[2] = "–"
        print("| " + " | ".join([work, dtype, str(vocab), *medians, *ratios]) + " |")


if __name__ == "__main__":
    main()

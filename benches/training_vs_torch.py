#!/usr/bin/env python3
"""Times SFT, DPO, probing and starting up in ldyn beside PyTorch, in turns, in one run.

Needs: cargo; Python >= 3.10 with torch, transformers, tokenizers and, for `--work trl`, trl and datasets; real HH pairs and
tokenizers in `data/` (`--data`; examples/configs/README.md tells where from). From the repository's root:

    python benches/training_vs_torch.py [--shape 14m 70m qwen] [--work sft dpo trl probe start] [--threads 2 1]
        [--without reference] [--rounds 5] [--steps 5] [--json FILE] [--ldyn PATH]

Both sides read one model folder of random weights (Pythia-14M's or 70M's shape, or four layers of Qwen2-0.5B's) and the same
tokens: pairs of `hh-probe/probe_train.jsonl`, prompts cut to 256 tokens, both together to 512; f32 on the CPU with the same
number of threads; batches of 4, RMSprop, gradients clipped at norm 10. PyTorch is written twice, as a competent user would
(`torch`) and as the paper's code does (`reference`): see `training_in_torch.py`.

A round starts every side once, one after another, each in a process of its own, whose peak memory the system tells
(Python's own libraries are part of it: the rows of `import` say how much). Training repeats one batch within a round;
every round has the next four pairs. Python's threads wait without spinning (OMP_WAIT_POLICY=PASSIVE, unless the environment says
otherwise: try ACTIVE on an idle machine), and in `torch` and `trl` glibc keeps freed memory, which PyTorch gains from and
which adds to their peaks (some 100 MB in `torch`, half as much again in `trl`). What is timed:

- sft, dpo, trl: every step after `--warm-up` of them, from token ids to updated weights, by either program's own clock.
  ldyn and `torch` have log π_ref from before the first step, `reference` and `trl` run the reference model in every step.
  TRL's batches are collated outside its time. Tokens are those of prompts and responses, without padding.
- probe: a sweep over 12 kinds behind `--prompts` prompts, with the same statistics of every response (`reference` has no
  entropy). Of ldyn it is half of `probe_seconds` of a run of one step, which sweeps before and after it and writes its
  rows; `torch` sweeps twice too. `reference`, far slower, sweeps once. No side is warmed up.
- start: from the start of the process to the end of the first SFT step, less the step's own seconds; in ldyn this holds two
  probes of one answer. And from the start to the end of Python's imports alone.

Printed are medians over all steps of all rounds with least and largest, ldyn's gain as the median of the ratios of the same step
(or sweep) of the same round, and where there is an aim, whether it was met. Loss, gradient norm and log-probabilities
of the first step must agree to 1e-4 and losses of later ones to 1e-3 (relative), every statistic of every probed response to 1e-4:
else the script ends with status 1 (`rest_logp` of `reference` is left out: its 1 − π in f32 has too few digits). No `torch.compile`:
in a study, lengths differ at every step.

Takes about nine minutes a round and number of threads at 14M on two cores with other work on them, so one to two hours with the
defaults (an estimate from one round); most of it goes into starting Python and the probes of `reference`.
"""

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Neither torch nor transformers here: a process begins with the peak memory of the one that starts it.
HERE = Path(__file__).resolve().parent
SHAPES = {"14m": "pythia-14m.json", "70m": "pythia-70m.json", "qwen": None}
QWEN = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896,
        "intermediate_size": 4864, "num_hidden_layers": 4, "num_attention_heads": 14, "num_key_value_heads": 2,
        "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": True, "vocab_size": 151936,
        "use_sliding_window": False, "bos_token_id": 151643, "eos_token_id": 151643}
TOKENIZERS = {"gpt_neox": "tokenizers/gpt-neox-20b", "qwen2": "tokenizers/qwen1.5"}
SIDES = {"sft": ("ldyn", "torch", "reference"), "dpo": ("ldyn", "torch", "reference"), "trl": ("ldyn", "trl"),
         "probe": ("ldyn", "torch", "reference"), "start": ("ldyn", "import torch", "torch", "import trl")}
# Least gain of ldyn, by work, side and shape.
AIMS = {("sft", "torch"): {"14m": 1.5, "70m": 1.2}, ("dpo", "torch"): {"14m": 2.5, "70m": 1.8},
        ("dpo", "reference"): {"14m": 4, "70m": 4}, ("trl", "trl"): {"14m": 3, "70m": 3},
        ("probe", "reference"): {"14m": 15, "70m": 6}, ("probe", "torch"): {"14m": 2.5, "70m": 2.5}}
# Largest share of the other side's peak memory, and most seconds.
MEMORY_AIMS = {("sft", "torch"): {"14m": 0.6, "70m": 0.6}}
START_AIM = {"14m": 0.5}
BATCH, CLIP, BETA, RATE = 4, 10, 0.1, 5e-7
FIRST_TOLERANCE, LATER_TOLERANCE, PROBE_TOLERANCE = 1e-4, 1e-3, 1e-4
ONE_PROBE = {"probe.kinds": "['chosen']"}
IMPORTS = {"import torch": "import torch; from transformers import AutoModelForCausalLM", "import trl": "from trl import DPOTrainer"}


# What the environment does not set already. Beside other work, threads that spin while they wait cost PyTorch most of its
# pace; so does, less, memory that goes back to the system with every large tensor.
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 33), "MALLOC_TRIM_THRESHOLD_": str(1 << 33), "MALLOC_TOP_PAD_": str(1 << 28)}


class Disagreement(Exception):
    """The two sides computed different things."""


class Bench:
    """A shape's model and data, and the processes that are run on them."""

    def __init__(self, options, shape, scratch):
        self.options, self.shape, self.scratch, self.runs = options, shape, scratch, 0
        shapes = HERE.parent / "examples" / "configs" / "shapes"
        self.config = json.loads((shapes / SHAPES[shape]).read_text()) if SHAPES[shape] else QWEN
        self.eos = self.config["eos_token_id"]
        self.folder = scratch / "model"
        tokenizer = options.data / TOKENIZERS[self.config["model_type"]] / "tokenizer.json"
        self.parameters = self.python({"work": "model", "folder": str(self.folder), "config": self.config})["result"]["parameters"]
        shutil.copyfile(tokenizer, self.folder / "tokenizer.json")
        data = {"work": "data", "data": str(options.data / "hh-probe" / "probe_train.jsonl"), "tokenizer": str(tokenizer), "eos": self.eos,
                "batches": options.rounds, "batch_size": BATCH, "prompts": options.prompts, "out_folder": str(scratch)}
        self.data = self.python(data)["result"]

    def process(self, command, threads, settings=PASSIVE):
        """Runs it to its end: when it was started, and its peak memory in bytes."""
        own = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        with open(self.scratch / "output", "w+") as output:
            started = time.time()
            process = subprocess.Popen(command, stdout=output, stderr=output, env=settings | os.environ | own)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read()
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))}\nended with status {process.returncode}:\n{text[-4000:]}")
        unit = 1 if sys.platform == "darwin" else 1024
        return {"started": started, "peak": usage.ru_maxrss * unit, "output": text}

    def python(self, job, threads=1, settings=PASSIVE):
        job_file, out = self.scratch / "job.json", self.scratch / "result.json"
        job_file.write_text(json.dumps(job | {"out": str(out)}))
        done = self.process([sys.executable, HERE / "training_in_torch.py", job_file], threads, settings)
        return done | {"result": json.loads(out.read_text())}

    def torch(self, work, side, threads, batch=0, steps=1):
        job = {"work": work, "side": side, "threads": threads, "folder": str(self.folder), "steps": steps,
               "pairs": str(self.scratch / f"pairs-{batch}.json"), "probe": str(self.scratch / "probe.json"),
               "batch_size": BATCH, "clip": CLIP, "beta": BETA, "rate": RATE, "eos": self.eos,
               "scratch": str(self.scratch / "trl"), "sweeps": 2 if side == "torch" else 1}
        return self.python(job, threads, PASSIVE if side == "reference" else PASSIVE | KEPT_MEMORY)

    def ldyn(self, objective, threads, batch=0, steps=1, **keys):
        """A run's manifest, rows of steps and of probes, and when its first step was written."""
        # The batch is all the data, so that every epoch is one step and the order of the examples decides nothing.
        self.runs += 1
        output = self.scratch / f"run-{self.runs}"
        keys = {"monitor.enabled": "false", "stages.0.save": "false", "checkpoints.save_steps": 0, "probe.every_examples": 0,
                "probe.prompts": 1, "stages.0.epochs": steps, "stages.0.learning_rate": RATE, "stages.0.warmup_steps": 0,
                "stages.0.batch_size": BATCH, "stages.0.max_grad_norm": CLIP} | keys
        if objective != "sft":
            keys["stages.0.beta"] = BETA
        command = [self.options.ldyn, "train", objective, "--quiet", "--threads", threads, "--model", self.folder,
                   "--data", self.scratch / f"pairs-{batch}.jsonl", "--output", output]
        command += [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]
        done = self.process(list(map(str, command)), threads)
        steps, rows = (lines(output / name) for name in ("metrics.jsonl", "probes.jsonl"))
        done |= {"manifest": json.loads((output / "manifest.json").read_text()), "steps": steps, "rows": rows,
                 "first_step": (output / "metrics.jsonl").stat().st_mtime}
        shutil.rmtree(output)
        return done

    # One side in one round: values in UNITS, and the numbers in which both sides must agree.

    def steps(self, work, side, threads, number):
        steps = self.options.warm_up + self.options.steps
        if side == "ldyn":
            done = self.ldyn("sft" if work == "sft" else "dpo", threads, number, steps, **ONE_PROBE)
            rows = done["steps"]
        else:
            done = self.torch(work, side, threads, number, steps)
            rows = done["result"]["steps"]
        pairs = self.data["pairs"][number * BATCH:(number + 1) * BATCH]
        amount = sum(prompt + chosen for prompt, chosen, _ in pairs) if work == "sft" else BATCH
        return {"values": [amount / row["seconds"] for row in rows[self.options.warm_up:]], "peak": done["peak"], "numbers": rows}

    def probe(self, side, threads):
        if side != "ldyn":
            done = self.torch("probe", side, threads)
            return {"values": [done["result"]["seconds"]], "peak": done["peak"], "numbers": done["result"]["rows"]}
        keys = {"probe.data": self.scratch / "probe.jsonl", "probe.prompts": self.options.prompts}
        done = self.ldyn("sft", threads, **keys)
        [stage] = done["manifest"]["stages"]
        rows = [row for row in done["rows"] if row["step"] == 0]
        sweeps = len({row["step"] for row in done["rows"]})
        return {"values": [stage["probe_seconds"] / sweeps], "peak": done["peak"], "numbers": rows}

    def start(self, side, threads):
        if side in IMPORTS:
            done = self.process([sys.executable, "-c", IMPORTS[side] + "; import time; print(time.time())"], threads)
            ended = float(done["output"].split()[-1])
        elif side == "ldyn":
            done = self.ldyn("sft", threads, **ONE_PROBE)
            ended = done["first_step"] - done["steps"][0]["seconds"]
        else:
            done = self.torch("sft", side, threads)
            step = done["result"]["steps"][0]
            ended = step["ended"] - step["seconds"]
        return {"values": [ended - done["started"]], "peak": done["peak"], "numbers": []}

    def side(self, work, side, threads, number):
        if work == "probe":
            return self.probe(side, threads)
        return self.start(side, threads) if work == "start" else self.steps(work, side, threads, number)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def built_ldyn():
    command = ["cargo", "build", "--release", "--bin", "ldyn", "--message-format=json"]
    messages = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return next(m["executable"] for m in map(json.loads, messages) if m.get("executable"))


# --- Do both sides compute the same? -------------------------------------------------------------------------------------

def agree(work, side, ours, theirs):
    """Largest relative difference of what the two sides computed; refused beyond the tolerance."""
    if work == "start":
        return 0.0
    if work == "probe":
        pairs = [(f"{row['kind']} of prompt {row['example']}", row) for row in ours]
        other = {(row["example"], row["kind"]): row for row in theirs}
        if len(other) != len(ours) or any((row["example"], row["kind"]) not in other for row in ours):
            raise Disagreement(f"probe: ldyn scored {len(ours)} responses, {side} {len(other)}")
        left_out = {"example", "kind"} | ({"rest_logp"} if side == "reference" else set())
        compared = [(f"{name} of {where}", row[name], value, PROBE_TOLERANCE) for where, row in pairs
                    for name, value in other[row["example"], row["kind"]].items() if name not in left_out]
    else:
        compared = []
        for i, (row, other) in enumerate(zip(ours, theirs, strict=True)):
            names = ("loss", "grad_norm", "logps/chosen", "logps/rejected") if i == 0 else ("loss",)
            tolerance = FIRST_TOLERANCE if i == 0 else LATER_TOLERANCE
            compared += [(f"{name} of step {i + 1}", row[name], other[name], tolerance) for name in names if name in other]
    worst = 0.0
    for what, mine, yours, tolerance in compared:
        difference = abs(mine - yours) / abs(mine) if mine else abs(yours)
        if not difference <= tolerance:
            raise Disagreement(f"{work}, {side}: {what} is {yours}, in ldyn {mine}: {difference:.1e} apart, {tolerance:.0e} allowed")
        worst = max(worst, difference)
    return worst


# --- Figures and the table --------------------------------------------------------------------------------------------------

UNITS = {"sft": "tokens/s", "dpo": "pairs/s", "trl": "pairs/s", "probe": "s a sweep", "start": "s"}


def spread(values):
    return [statistics.median(values), min(values), max(values)]


def compare(bench, work, threads, say):
    """One work at one number of threads: a row a side."""
    rounds, sides = [], [side for side in SIDES[work] if side not in bench.options.without]
    for number in range(bench.options.rounds):
        this = {}
        for side in sides:
            say(f"{bench.shape}, {threads} threads, {work}: round {number + 1} of {bench.options.rounds}, {side}")
            this[side] = bench.side(work, side, threads, number)
        rounds.append(this)
    more_is_better = UNITS[work].endswith("/s")
    rows = []
    for side in sides:
        values = [v for r in rounds for v in r[side]["values"]]
        row = {"shape": bench.shape, "threads": threads, "work": work, "side": side, "unit": UNITS[work], "values": values,
               "spread": spread(values), "peak": statistics.median(r[side]["peak"] for r in rounds)}
        if side != "ldyn":
            both = [pair for r in rounds for pair in zip(r["ldyn"]["values"], r[side]["values"], strict=True)]
            ratios = [ours / theirs if more_is_better else theirs / ours for ours, theirs in both]
            memory = statistics.median(r["ldyn"]["peak"] / r[side]["peak"] for r in rounds)
            differences = [] if side in IMPORTS else [agree(work, side, r["ldyn"]["numbers"], r[side]["numbers"]) for r in rounds]
            row |= {"gain": spread(ratios), "memory": memory, "difference": max(differences, default=None)}
        row["aims"] = aims(row)
        rows.append(row)
    return rows


def aims(row):
    """What is aimed at, and whether it was met."""
    key, shape = (row["work"], row["side"]), row["shape"]
    found = []
    if (least := AIMS.get(key, {}).get(shape)) is not None:
        found.append((f"gain ≥ {least}", row["gain"][0] >= least))
    if (most := MEMORY_AIMS.get(key, {}).get(shape)) is not None:
        found.append((f"memory ≤ {most}", row["memory"] <= most))
    if key == ("start", "ldyn") and shape in START_AIM:
        found.append((f"≤ {START_AIM[shape]} s", row["spread"][0] <= START_AIM[shape]))
    return found


def digits(value):
    """Three figures, or all in front of the point."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def table(rows):
    head = ["shape", "threads", "work", "side", "median", "least … largest", "unit", "gain", "least … largest", "peak MB", "ldyn's share",
            "difference", "aim"]
    body = []
    for row in rows:
        median, least, largest = map(digits, row["spread"])
        gain = [digits(g) for g in row["gain"]] if "gain" in row else None
        body.append([row["shape"], str(row["threads"]), row["work"], row["side"], median, f"{least} … {largest}", row["unit"],
                     gain[0] if gain else "", f"{gain[1]} … {gain[2]}" if gain else "", f"{row['peak'] / 1e6:.0f}",
                     f"{row['memory']:.2f}" if gain else "", f"{row['difference']:.0e}" if row.get("difference") else "",
                     ", ".join(f"{aim}: {'met' if met else 'MISSED'}" for aim, met in row["aims"])])
    widths = [max(map(len, column)) for column in zip(head, *body)]
    right = {1, 4, 5, 7, 8, 9, 10, 11}

    def line(cells):
        return "| " + " | ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths))) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if i in right else "-") for i, w in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, body)])


def processor():
    names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()


def versions(program):
    def of(package):
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            return f"no {package}"

    ldyn = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    return [ldyn, f"Python {platform.python_version()}", *map(of, ("torch", "transformers", "trl"))]


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=["14m"])
    parser.add_argument("--work", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--without", nargs="+", choices=sorted({side for sides in SIDES.values() for side in sides[1:]}), default=[],
                        help="sides that are left out")
    parser.add_argument("--threads", nargs="+", type=int, default=[2, 1])
    parser.add_argument("--rounds", type=int, default=5, help="times that every side is started")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of a start")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before those")
    parser.add_argument("--prompts", type=int, default=50, help="probed prompts")
    parser.add_argument("--data", type=Path, default=HERE.parent / "data", help="folder with hh-probe/ and tokenizers/")
    parser.add_argument("--json", type=Path, help="file that receives every figure")
    parser.add_argument("--ldyn", help="a built ldyn")
    options = parser.parse_args()
    if not (options.data / "hh-probe" / "probe_train.jsonl").is_file():
        parser.error(f"{options.data} has no hh-probe/probe_train.jsonl: name the folder with --data")
    return options


def main():
    options = parsed()
    options.ldyn = options.ldyn or built_ldyn()
    machine = {"processor": processor(), "versions": versions(options.ldyn), "load": os.getloadavg()}
    print(f"{machine['processor']}, load {machine['load'][0]:.1f} before the first round; {', '.join(machine['versions'])}", flush=True)
    rows, models = [], []
    try:
        for shape in options.shape:
            with tempfile.TemporaryDirectory() as scratch:
                bench = Bench(options, shape, Path(scratch))
                models.append({"shape": shape, "parameters": bench.parameters, **bench.data})
                prompts, *responses = zip(*bench.data["pairs"])
                print(f"{shape}: {bench.config['model_type']}, {bench.parameters / 1e6:.1f} M parameters, f32, batches of {BATCH}; "
                      f"prompts of {statistics.mean(prompts):.0f} tokens and responses of {statistics.mean(sum(responses, ())):.0f} on "
                      f"average; {bench.data['responses']} probed responses", flush=True)
                for threads in options.threads:
                    for work in options.work:
                        rows += compare(bench, work, threads, lambda text: print(text, end="\x1b[K\r", file=sys.stderr, flush=True))
    except Disagreement as difference:
        raise SystemExit(f"the two sides do not compute the same: {difference}") from None
    finally:
        if options.json:
            options.json.write_text(json.dumps({"machine": machine, "models": models, "rows": rows}, indent=1) + "\n")
    print(f"\nmedians of {options.rounds} rounds, {options.steps} steps each; gain above 1 in ldyn's favour\n")
    print(table(rows))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Times `ldyn verify` beside the same checks in numpy, in turns, in one run.

Needs: cargo; Python >= 3.9 with numpy; Linux or macOS. From the repository's root:

    python benches/verify_vs_numpy.py [--rounds 5] [--seconds 0.5] [--ldyn PATH]

Checked are the statements about A, about the remainder and about one negative step: 39 of the table's
85, on random cases that either side draws from the same eight families. The numpy side works on batches of
cases, of the size that is fastest in a first trial, and once more on one case at a time; it leaves out what
these statements do not need, while `ldyn verify --only` leaves out checks, not the work that all 85 share.
Conditions, margins and tolerances are the core's.

One thread is measured in CPU time, which other programs on the machine disturb less than the wall's; all
threads are measured in wall time. `--ldyn` names a built program instead of building it.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import time

for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np  # noqa: E402 (after the number of threads)

VOCABS = (50, 1000, 50304)
ONLY = ("exact/A", "exact/R", "numeric/R", "exact/N", "first-order/N")
# Numbers in one array of a batch, tried in turn.
BATCHES = (4_000, 16_000, 64_000, 256_000)
TINY = 1e-3
INVERSE_FACTORIALS = [1.0]
for k in range(1, 21):
    INVERSE_FACTORIALS.append(INVERSE_FACTORIALS[-1] / k)


def dot(a, b):
    return np.einsum("bv,bv->b", a, b)


def column(x):
    return x[:, None]


def log_sum_exp(z):
    high = z.max(axis=1)
    return high + np.log(np.exp(z - column(high)).sum(axis=1))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def draw(rng, count, vocab):
    """Logits, two labels each and step sizes, from the families of runner/src/verify.rs."""
    family = rng.integers(0, 8, count)
    size = np.array([4.0, 2.0, 1e-3, 0.0, 1.0, 1e4, 1e-12, 0.0])[family]
    z = rng.uniform(-1.0, 1.0, (count, vocab)) * column(size)
    tied = np.flatnonzero(family == 3)
    z[tied] = np.array([-1.0, 0.0, 1.5])[rng.integers(0, 3, (len(tied), vocab))]
    for peak, low, high in ((1, 4.0, 14.0), (4, 40.0, 2000.0)):
        rows = np.flatnonzero(family == peak)
        z[rows, rng.integers(0, vocab, len(rows))] = rng.uniform(low, high, len(rows))
    label = rng.integers(0, vocab, count)
    other = (label + rng.integers(1, vocab, count)) % vocab
    return z, label, other, 10.0 ** rng.uniform(-3.0, 2.0, count)


class Growth:
    """log alpha of a step s on the labels: negative for s > 0. Its signs at both ends are certain."""

    def __init__(self, p, v, s):
        delta = column(s) * v
        top, low = delta.max(axis=1), delta.min(axis=1)
        below = delta - column(top)
        change = dot(p, np.expm1(below))
        with np.errstate(divide="ignore", invalid="ignore"):
            log_top = -np.log1p(change)
        deep = np.flatnonzero(~(change > -0.5))
        if len(deep):
            q, d = p[deep], below[deep]
            high = np.where(q > 0.0, d, -np.inf).max(axis=1)
            log_top[deep] = -(high + np.log(dot(q, np.exp(np.minimum(d - column(high), 0.0)))))
        spread = top - low
        log_low = log_top - spread
        close = np.flatnonzero((log_top > 0.5 * spread) & (spread < 700.0))
        if len(close):
            log_low[close] = -np.log1p(dot(p[close], np.expm1(delta[close] - column(low[close]))))
        np.maximum(log_top, 0.0, out=log_top)
        below += column(log_top)
        self.log = np.where(delta == column(low), column(np.minimum(log_low, 0.0)), below)


def remainder(p, delta):
    """-log E exp(d) with d = delta - E delta, by the series of exp(d) - 1 - d where no |d| exceeds 1."""
    mass = p.sum(axis=1)
    d = delta - column(dot(p, delta) / mass)
    has_mass = p > 0.0
    d *= has_mass
    high = d.max(axis=1)
    small = (high <= 1.0) & (d.min(axis=1) >= -1.0)
    r = np.empty(len(p))
    for rows, is_small in ((np.flatnonzero(small), True), (np.flatnonzero(~small), False)):
        if not len(rows):
            continue
        x, q = d[rows], p[rows]
        if is_small:
            bend = np.full_like(x, INVERSE_FACTORIALS[20])
            for c in INVERSE_FACTORIALS[19:1:-1]:
                bend *= x
                bend += c
            bend *= x
            bend *= x
            r[rows] = -np.log1p(dot(q, bend) / mass[rows])
        else:
            top = np.where(has_mass[rows], x, -np.inf).max(axis=1)
            r[rows] = -(top + np.log(dot(q, np.exp(np.minimum(x - column(top), 0.0))) / mass[rows]))
    return r


def check(z, y, b, s, sign=1.0):
    """Margins of all statements, in units of rounding's scale: NaN where a condition is not met. `sign` is a
    planted fault: every step goes the other way."""
    count, vocab = z.shape
    rows = np.arange(count)
    p, log_z = softmax(z), log_sum_exp(z)
    v = p.copy()
    v[rows, y] -= 1.0
    sum_sq = dot(p, p)
    masked = z.copy()
    masked[rows, y] = -np.inf
    top = masked.argmax(axis=1)
    py, ptop = p[rows, y], p[rows, top]
    log_p = z - column(log_z)
    step_scale = 1.0 + s
    logit_scale = step_scale + np.abs(z).max(axis=1)
    moved = z + column(s) * v
    log_z_moved = log_sum_exp(moved)
    defined = (moved - column(log_z_moved)) - log_p

    taken = sign * s
    delta = column(taken) * v
    adapted = delta - column(dot(p, delta))
    r = remainder(p, delta)
    negative, shorter, longer = (Growth(p, v, f * taken).log for f in (1.0, 0.5, 1.5))
    tiny = Growth(p, v, np.full(count, sign * TINY)).log
    positive = Growth(p, v, -taken).log
    v_other = p.copy()
    v_other[rows, b] -= 1.0
    on_other = Growth(p, v_other, taken).log

    out = {}

    def holds(name, scale, *margins, when=None):
        margin = np.minimum.reduce(margins) / scale
        out[name] = (margin, np.ones(count, bool) if when is None else when)

    def equal(name, scale, found, exact):
        difference = np.abs(found - exact)
        holds(name, scale, -(difference if difference.ndim == 1 else difference.max(axis=1)))

    def least(x, *left_out):
        """The smallest number of each row, without the labels left out. Overwrites x."""
        for labels in left_out:
            x[rows, labels] = np.inf
        return x.min(axis=1)

    # A
    at = []
    for i in (y, b):
        row = -p
        row[rows, i] += 1.0
        at.append(-np.abs(adapted[rows, i] - dot(row, delta)))
    holds("exact/A1", s, *at)
    equal("exact/A2", 1.0, p.sum(axis=1), 1.0)
    mean_adapted = dot(p, adapted)
    equal("exact/A3", s, mean_adapted, 0.0)
    equal("exact/A4", s, adapted - column(mean_adapted), adapted)
    weighted = p * delta
    mean_z = dot(p, z)
    symmetric = -np.abs(dot(p * z, adapted) - dot(weighted, z - column(mean_z))) / (logit_scale * s)
    holds("exact/A5", 1.0, symmetric, dot(weighted, adapted) / (s * s))
    frobenius = vocab - 2.0 + vocab * sum_sq
    columns = ((1.0 - p) ** 2 + (vocab - 1.0) * p * p).sum(axis=1)
    holds("exact/A6", vocab, -np.abs(frobenius - columns), frobenius - (vocab - 1.0), 2.0 * vocab - 2.0 - frobenius)
    norm = np.sqrt(vocab * sum_sq)
    stretch = norm * np.sqrt(dot(delta, delta)) - np.sqrt(dot(adapted, adapted))
    before, after = 1.0 - vocab * p, vocab * (column(sum_sq) - p)
    attained = np.abs(np.sqrt(dot(after, after)) - norm * np.sqrt(dot(before, before)))
    holds("exact/A7", 1.0, stretch / (s * vocab), -attained / vocab**2)

    # The remainder
    equal("exact/R1", logit_scale, adapted + column(r), defined)
    equal("exact/R2", logit_scale, r, dot(p, defined))
    spread = delta.max(axis=1) - delta.min(axis=1)
    holds("exact/R3", s * s, -r, r + spread * spread / 8.0)
    own_v = v[rows, y] - dot(p, v)
    own, own_positive = negative[rows, y], positive[rows, y]
    fell, rose = own - s * own_v, own_positive + s * own_v
    tau = 1.0 - py + ptop
    own_bound = (s * tau) ** 2 / 8.0
    square = step_scale * step_scale
    holds("exact/R4", square, -fell, fell + own_bound, -rose, rose + own_bound)
    equal("exact/R5", s, delta, column(s) * v)
    holds("exact/R7", square, fell + 27.0 / 128.0 * s * s)
    sharp = np.minimum(np.minimum(27.0 / 128.0, tau**2 / 8.0), tau**3 * (2.0 - tau) / 8.0)
    holds("exact/R7-sharp", square, fell + sharp * s * s, when=tau >= 1.0)
    holds("numeric/R9", square, rose + 0.2955458 * s * s)
    p2 = softmax(moved)
    hit = np.zeros_like(p)
    hit[rows, y] = 1.0
    delta2 = column(taken) * (p2 - hit)
    first = z + delta
    walked = first + column(taken) * (softmax(first) - hit)
    predicted = adapted + (delta2 - column(dot(p2, delta2)))
    added = predicted + column(r + remainder(p2, delta2))
    equal("exact/R8", 2.0 * logit_scale, added, (walked - column(log_sum_exp(walked))) - log_p)

    # One negative step
    rise = negative[rows, top]
    full = (p > 1e-250).all(axis=1) & (p < 1.0).all(axis=1)
    equal("exact/N0", logit_scale, negative, defined)
    holds("exact/N1", step_scale, -own, least(negative - column(own), y))
    out["exact/N1-strict"] = (np.where(own < 0.0, -own, -np.inf), full)
    holds("exact/N2", step_scale, rise, rise - negative.max(axis=1))
    out["exact/N2-strict"] = (np.where(rise > 0.0, rise, -np.inf), full)
    to_top = -np.abs((negative - column(rise)) - column(s) * (p - column(ptop)))
    to_own = -np.abs((negative - column(own)) - column(s) * (1.0 + p - column(py)))
    holds("exact/N3", step_scale, least(to_top, y), least(to_own, y))
    log_zz = log_z_moved - log_z
    signed = np.where(column(s) * p > column(log_zz), negative, -negative)
    holds("exact/N4", logit_scale, least(signed, y), log_zz - s * (py - 1.0), s * ptop - log_zz)
    short, here, long = shorter[rows, top] / (0.5 * s), rise / s, longer[rows, top] / (1.5 * s)
    holds("exact/N4-monotone", 1.0 + 1.0 / s, short - here, here - long)
    over = s * ptop - rise - s * (sum_sq - py)
    log_ptop = log_p[rows, top]
    holds("exact/N4-limits", np.maximum(square, logit_scale), over, 0.5 * s * s - over, rise, -log_ptop - rise)
    holds("exact/N5", 1.0, least(tiny + 0.5 * TINY * TINY, y), when=py >= sum_sq)
    start = column(sum_sq - py)
    above = start + column(s * tau**2 / 8.0)
    at_first = np.where(p <= start, -negative, np.where(p > above, negative, np.inf))
    holds("exact/N5-label", step_scale, least(at_first, y))
    holds("exact/N6", step_scale, least(-negative, top), when=3.0 * ptop * ptop > 1.0)
    bend = (2.0 * negative - shorter - longer).min(axis=1)
    ups = [rise - shorter[rows, top], longer[rows, top] - rise]
    downs = [shorter[rows, y] - own, own - longer[rows, y]]
    holds("exact/N7", 2.0 * step_scale, bend, *ups, *downs)
    bound = column(s) * (v - column(ptop))
    holds("exact/N8", step_scale, (negative - bound).min(axis=1), bound[rows, y] + 2.0 * s)
    pb = p[rows, b]
    apart = np.where(column(py < pb), on_other - negative, negative - on_other)
    holds("exact/N9", step_scale, least(apart, y, b), when=(py != pb) & (vocab > 2))
    drift = p * (v - column(sum_sq - py))
    tiny_gain = np.expm1(tiny)
    error = np.abs(p * tiny_gain - TINY * drift).max(axis=1)
    holds("first-order/N10", 1.0, 2.0 * TINY * TINY - error)
    holds("exact/N10-limit", 1.0, py - np.abs(drift - p * (p - column(sum_sq))).max(axis=1))
    safe_log = np.log(p, where=p > 0.0, out=np.zeros_like(p))
    mean_log = dot(p, safe_log)
    covariance = dot(p, (safe_log - column(mean_log)) * (p - column(sum_sq)))
    rate = py * (safe_log[rows, y] - mean_log) - covariance
    change = -dot(p, tiny_gain * safe_log + (tiny_gain + 1.0) * tiny)
    holds("first-order/N11", logit_scale, 8.0 * (1.0 - mean_log) * TINY * TINY - np.abs(change - TINY * rate))
    entropy = -dot(p, log_p)
    log_py = log_p[rows, y]
    exact_rate = py * (log_py + entropy) - (dot(p, log_p * p) + entropy * sum_sq)
    falls = np.where(-log_py >= entropy, -rate, np.inf)
    holds("exact/N11-rate", logit_scale, -np.abs(rate - exact_rate), falls)
    gain = np.expm1(negative)
    change = -dot(p, gain * safe_log + (gain + 1.0) * negative)
    log_after = moved - column(log_z_moved)
    defined_change = dot(np.exp(log_p), log_p) - dot(np.exp(log_after), log_after)
    equal("exact/N11-change", 2.0 * logit_scale, change, defined_change)
    holds("exact/N11-falls", 2.0 * logit_scale, -change, when=-log_py >= entropy)
    flat = (z == z[:, :1]).all(axis=1)
    growth = -np.log1p(np.expm1(-s) / vocab)
    holds("exact/N12", step_scale, least(-np.abs(negative - column(growth)), y), when=flat)
    equal("exact/N13", step_scale, dot(p, gain), 0.0)
    return out


def in_numpy(rng, cases, vocab, batch, sign=1.0):
    """How often each statement fails."""
    allowance = (64.0 + vocab) * 2.0**-53
    failed = {}
    while cases > 0:
        found = check(*draw(rng, min(batch, cases), vocab), sign)
        for name, (margin, met) in found.items():
            failed[name] = failed.get(name, 0) + int(np.count_nonzero(met & ~(margin >= -allowance)))
        cases -= batch
    return failed


def cpu_seconds_in_numpy(rng, cases, vocab, batch):
    start = time.process_time()
    failed = in_numpy(rng, cases, vocab, batch)
    seconds = time.process_time() - start
    assert not any(failed.values()), {name: n for name, n in failed.items() if n}
    return seconds


def in_ldyn(program, cases, vocab, threads=None, fault=None):
    """What it found, and its CPU seconds."""
    command = [program, "verify", "--json", "--cases", str(cases), "--vocab", str(vocab)]
    command += [word for prefix in ONLY for word in ("--only", prefix)]
    command += ["--inject-fault", fault] if fault else []
    environment = {k: x for k, x in os.environ.items() if k != "RAYON_NUM_THREADS"}
    if threads:
        environment["RAYON_NUM_THREADS"] = str(threads)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != (3 if fault else 0):
        raise SystemExit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def built_ldyn():
    command = ["cargo", "build", "--release", "--package", "ldyn", "--message-format=json"]
    messages = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    artifacts = [m for m in map(json.loads, messages) if m.get("executable")]
    return next(m["executable"] for m in artifacts if m["target"]["name"] == "ldyn")


def notice_a_planted_fault(program):
    found, _ = in_ldyn(program, 2000, 50, fault="direction")
    ldyn = {row["id"] for row in found["statements"] if row["failed"]}
    numpy = {name for name, n in in_numpy(np.random.default_rng(1), 2000, 50, 500, sign=-1.0).items() if n}
    ids = {row["id"] for row in found["statements"]}
    assert ids == set(check(*draw(np.random.default_rng(1), 1, 50))), "both sides check the same statements"
    assert len(ldyn) > 10 and len(numpy) > 10, (ldyn, numpy)
    print(f"{len(ids)} statements; steps that go the wrong way are noticed by {len(ldyn)} in ldyn, {len(numpy)} in numpy")
    if ldyn != numpy:
        print(f"by one side only: {', '.join(sorted(ldyn ^ numpy))}")


def processor():
    if os.path.exists("/proc/cpuinfo"):
        names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        return f"{len(names)} x {names[0]}" if names else platform.machine()
    return f"{os.cpu_count()} x {platform.processor() or platform.machine()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long either side works at a time")
    parser.add_argument("--ldyn", help="a built ldyn")
    options = parser.parse_args()
    program = options.ldyn or built_ldyn()
    version = subprocess.run([program, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    print(f"{processor()}; {version}; numpy {np.__version__}; Python {platform.python_version()}")
    notice_a_planted_fault(program)

    rng = np.random.default_rng(0)
    plans = {}
    for vocab in VOCABS:
        batches = sorted({max(1, size // vocab) for size in BATCHES})
        pace = {}
        for batch in batches:
            cases = batch * max(1, 100_000 // (batch * vocab))
            pace[batch] = min(cpu_seconds_in_numpy(rng, cases, vocab, batch) for _ in range(2)) / cases
        batch = min(pace, key=pace.get)
        in_batches = max(batch, round(options.seconds / pace[batch]))
        single = cpu_seconds_in_numpy(rng, 3, vocab, 1) / 3
        one_by_one = max(1, round(options.seconds / single))
        trial = max(1, 100_000 // vocab)
        in_core = max(1, round(options.seconds * trial / in_ldyn(program, trial, vocab, 1)[1]))
        plans[vocab] = (batch, in_batches, one_by_one, in_core)

    rounds = {vocab: [] for vocab in VOCABS}
    for _ in range(options.rounds):
        for vocab, (batch, in_batches, one_by_one, in_core) in plans.items():
            all_threads, _ = in_ldyn(program, in_core, vocab)
            rounds[vocab].append(
                (
                    in_core / in_ldyn(program, in_core, vocab, 1)[1],
                    in_batches / cpu_seconds_in_numpy(rng, in_batches, vocab, batch),
                    one_by_one / cpu_seconds_in_numpy(rng, one_by_one, vocab, 1),
                    in_core / all_threads["seconds"],
                )
            )
    threads = all_threads["threads"]

    print(f"cases per second; medians of {options.rounds} rounds; 1 thread by CPU time, {threads} threads by wall time")
    print("no side found a failure; ratios are medians of each round's ratios, above 1 in ldyn's favour\n")
    print(f"| V | batch | cases: ldyn | numpy | one by one | ldyn | numpy | numpy, one by one | ldyn/numpy | ldyn/one by one | ldyn, {threads} threads |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for vocab, paces in rounds.items():
        batch, in_batches, one_by_one, in_core = plans[vocab]
        ldyn, numpy, single, wall = (f"{statistics.median(pace):.4g}" for pace in zip(*paces))
        ratios = [f"{statistics.median(pace[0] / pace[i] for pace in paces):.2f}" for i in (1, 2)]
        row = [vocab, batch, in_core, in_batches, one_by_one, ldyn, numpy, single, *ratios, wall]
        print("| " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes fixtures/losses.json: TRL's losses and their gradients, for given log-probabilities of tokens.

No model is involved. TRL's trainers are called on stand-ins: a model that returns the log-probabilities of the pair as
leaf tensors in f64, and a trainer with the settings of the case. What runs is TRL's own `DPOTrainer._compute_loss`,
`KTOTrainer._compute_loss`, `CPOTrainer.get_batch_loss_metrics`, `ORPOTrainer.get_batch_loss_metrics`; smoothed SFT is
`torch.nn.functional.cross_entropy`. The NLL term of CPO and ORPO, which TRL computes from logits, is handed in as the
mean NLL of the chosen response's tokens. The head of make_fixtures.py says how to set up the environment.

    python tests/parity/loss_fixtures.py

A case holds TRL's parameters, the loss of the first so many pairs (of the batch, for AOT) and, for each pair, w₊ and w₋: minus the
derivative by every chosen token's log-probability, plus that by every rejected token's, where all tokens of a response have
the same; lists by token where `ld_alpha` makes them differ.
"""

import json
import os
import warnings
from pathlib import Path
from types import MethodType, SimpleNamespace

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch
import transformers
import trl
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

SCHEMA = 1
PINNED = {"torch": "2.15.0", "transformers": "5.23.0", "trl": "1.16.0"}
OUT = Path(__file__).parent / "fixtures" / "losses.json"
DEVICE = torch.device("cpu")
PROMPT = 2

# Every number below is a binary fraction, so that f32 and f64 have the same.
LENGTHS = [(3, 2), (1, 4), (2, 2), (5, 1)]
# Log-ratios to the reference of chosen and rejected, in nats.
RATIOS = [(0.0, 0.0), (0.5, -0.25), (-1.0, 2.5), (4.0, 6.0), (-12.0, -20.0), (30.0, -30.0), (-35.0, 40.0), (-3.0, 0.125),
          (250.0, -400.0), (-300.0, 200.0)]
# The first so many have log-ratios whose exponentials and their squares are numbers in f32: forward_kl has no cap in TRL, and
# squares of capped scores overflow. The cap itself is compared on the logistic loss.
MODERATE = 8
# TRL's discopop multiplies 0 and infinity where a score is large.
SMALL = 4


def spread(total, n):
    """`total` as n numbers of unequal size."""
    shares = [0.5 ** (i + 1) for i in range(n - 1)] + [0.5 ** (n - 1)]
    return [total * s for s in shares]


def make_pairs():
    pairs = []
    for i, (chosen, rejected) in enumerate(RATIOS):
        n_chosen, n_rejected = LENGTHS[i % len(LENGTHS)]
        sums = {"chosen": -4.0 * n_chosen + min(chosen, 0), "rejected": -3.0 * n_rejected + min(rejected, 0)}
        pairs.append({
            "chosen": spread(sums["chosen"], n_chosen), "rejected": spread(sums["rejected"], n_rejected),
            "ref_chosen": spread(sums["chosen"] - chosen, n_chosen), "ref_rejected": spread(sums["rejected"] - rejected, n_rejected)})
    return pairs


# What the trainers see of the world around them.

def accelerator():
    same = lambda x: x
    return SimpleNamespace(device=DEVICE, gather=same, gather_for_metrics=same)


class Metrics(dict):
    def __missing__(self, key):
        self[key] = []
        return self[key]


class Stub:
    """A model that answers with the given rows of log-probabilities, behind a prompt."""

    training, is_gradient_checkpointing = True, False

    def __init__(self, rows, log_sum_sq=None, kl_rows=None):
        self.rows, self.log_sum_sq, self.kl_rows = rows, log_sum_sq, kl_rows

    def __call__(self, input_ids, **_):
        rows = self.kl_rows if self.kl_rows is not None and int(input_ids[0, 0]) == KL_MARK else self.rows
        log_probs = padded(rows)
        zero = torch.zeros_like(log_probs)
        sums = zero if self.log_sum_sq is None else padded(self.log_sum_sq)
        return SimpleNamespace(log_probs=log_probs, log_sum_sq_probs=sums, entropy=zero, mean_logits=zero, is_top1=zero.bool())


KL_MARK = 9


def padded(rows):
    """Behind a prompt of PROMPT tokens, the first of which nothing predicts; padded with zeros."""
    width = max(len(r) for r in rows)
    lead = torch.zeros(PROMPT - 1, dtype=torch.float64)
    return torch.stack([torch.cat([lead.to(r.dtype), r, r.new_zeros(width - len(r))]) for r in rows])


def mask(rows):
    width = max(len(r) for r in rows)
    return torch.tensor([[0] * PROMPT + [1] * len(r) + [0] * (width - len(r)) for r in rows])


def leaves(pairs, dtype):
    get = lambda kind, grad: [torch.tensor(p[kind], dtype=dtype, requires_grad=grad) for p in pairs]
    return get("chosen", True), get("rejected", True), get("ref_chosen", False), get("ref_rejected", False)


def gradients(loss, chosen, rejected, scale):
    """Loss and weights by token."""
    rows = torch.autograd.grad(loss, chosen + rejected, allow_unused=True)
    rows = [torch.zeros_like(x) if g is None else g for g, x in zip(rows, chosen + rejected, strict=True)]
    n = len(chosen)
    return [(-scale * g).tolist() for g in rows[:n]], [(scale * g).tolist() for g in rows[n:]]


def dpo(pairs, loss_type, dtype=torch.float64, **settings):
    """TRL's loss of the pairs as one batch, its weights by token, and the arguments of WPO where they matter."""
    chosen, rejected, ref_chosen, ref_rejected = leaves(pairs, dtype)
    sums = [torch.log(torch.linspace(0.25, 0.75, len(r), dtype=dtype)) for r in chosen + rejected]
    model = Stub(chosen + rejected, sums)
    defaults = {"beta": 0.1, "label_smoothing": 0.0, "f_divergence_type": "reverse_kl", "f_alpha_divergence_coef": 0.5,
                "ld_alpha": None, "use_weighting": False}
    tau = settings.pop("discopop_tau", 0.05)
    trainer = SimpleNamespace(
        model=model, ref_model=Stub(ref_chosen + ref_rejected), accelerator=accelerator(), aux_loss_enabled=False,
        precompute_ref_logps=False, loss_types=[loss_type], loss_weights=[1.0], _metrics={"train": Metrics()},
        _total_train_tokens=0, _tp_size=1, args=SimpleNamespace(discopop_tau=tau, gradient_checkpointing_kwargs=None),
        **(defaults | settings))
    completion = mask(chosen + rejected)
    inputs = {"input_ids": torch.ones_like(completion), "attention_mask": torch.ones_like(completion), "completion_mask": completion}
    loss = trl.DPOTrainer._compute_loss(trainer, model, inputs, False)
    return (loss.item(), *gradients(loss, chosen, rejected, len(pairs)), [s.tolist() for s in sums])


def kto(pairs, loss_type, mismatched, **settings):
    """Both responses of one pair as examples, a desirable and an undesirable one. TRL's loss is the mean of the two."""
    chosen, rejected, ref_chosen, ref_rejected = leaves(pairs, torch.float64)
    row = lambda x: [torch.tensor([x], dtype=torch.float64)]
    model = Stub(chosen + rejected, kl_rows=row(-8.0 + mismatched))
    trainer = SimpleNamespace(
        model=model, ref_model=Stub(ref_chosen + ref_rejected, kl_rows=row(-8.0)), accelerator=accelerator(), aux_loss_enabled=False,
        precompute_ref_logps=False, loss_type=loss_type, calculate_KL=loss_type == "kto", _metrics={"train": Metrics()},
        _total_train_tokens=0, _tp_size=1, args=SimpleNamespace(gradient_checkpointing_kwargs=None), **settings)
    trainer._compute_kl_logps = MethodType(trl.KTOTrainer._compute_kl_logps, trainer)
    completion = mask(chosen + rejected)
    kl_ids = torch.full((1, PROMPT + 1), KL_MARK)
    inputs = {"input_ids": torch.ones_like(completion), "attention_mask": torch.ones_like(completion), "completion_mask": completion,
              "label": torch.tensor([True, False]), "KL_input_ids": kl_ids, "KL_attention_mask": torch.ones_like(kl_ids),
              "KL_completion_mask": mask(row(0.0))}
    loss = trl.KTOTrainer._compute_loss(trainer, model, inputs, False)
    return (loss.item(), *gradients(loss, chosen, rejected, 2))


def without_reference(trainer_class, pairs, means, **settings):
    """CPO and ORPO, from sums or token means of log-probabilities."""
    chosen, rejected, _, _ = leaves(pairs, torch.float64)
    reduce = (lambda r: r.mean()) if means else (lambda r: r.sum())
    logps = [torch.stack([reduce(r) for r in rows]) for rows in (chosen, rejected)]
    nll = -torch.stack([r.mean() for r in chosen]).mean()
    trainer = SimpleNamespace(accelerator=accelerator(), aux_loss_enabled=False, alpha=0.0, **settings)
    trainer.concatenated_forward = lambda *_: (*logps, torch.zeros(1), torch.zeros(1), nll)
    for name in ("cpo_loss", "odds_ratio_loss"):
        if hasattr(trainer_class, name):
            setattr(trainer, name, MethodType(getattr(trainer_class, name), trainer))
    loss, _ = trainer_class.get_batch_loss_metrics(trainer, None, {})
    return (loss.item(), *gradients(loss, chosen, rejected, len(pairs)))


def equal_tokens(by_token):
    """The one weight of all tokens of each response."""
    for row in by_token:
        assert all(abs(w - row[0]) <= 1e-12 * abs(row[0]) for w in row), row
    return [row[0] for row in by_token]


def case(trainer, loss_type, parameters, results, by_token=False, **more):
    losses, chosen, rejected = zip(*results, strict=True)
    chosen, rejected = [w for pair in chosen for w in pair], [w for pair in rejected for w in pair]
    if not by_token:
        chosen, rejected = equal_tokens(chosen), equal_tokens(rejected)
    return {"trainer": trainer, "loss_type": loss_type, "parameters": parameters, **more,
            "loss": list(losses), "chosen_weight": chosen, "rejected_weight": rejected}


def dpo_cases(pairs):
    smooth = [{"beta": 0.125, "label_smoothing": e} for e in (0.0009765625, 0.25)]
    betas = [{"beta": b} for b in (0.125, 1.5, 0.0009765625)]
    taus = [{"beta": 0.5, "discopop_tau": t} for t in (0.0625, 0.5)]
    plain = {"sigmoid": betas, "hinge": betas, "ipo": betas, "exo_pair": smooth, "nca_pair": betas, "robust": [*betas, *smooth],
             "bco_pair": betas, "sppo_hard": betas, "apo_zero": betas, "apo_down": betas, "discopop": taus, "sigmoid_norm": betas}
    one = lambda settings, loss_type, n=len(pairs): [dpo([pair], loss_type, **settings)[:3] for pair in pairs[:n]]
    cases = [case("dpo", loss_type, s, one(s, loss_type)) for loss_type, settings in plain.items() for s in settings]
    differences = ["sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop"]
    for loss_type in differences:
        base = {"beta": 0.125}
        n = SMALL if loss_type == "discopop" else MODERATE
        if loss_type in ("exo_pair", "robust"):
            base["label_smoothing"] = 0.25
        for divergence in ("forward_kl", "js_divergence"):
            settings = base | {"f_divergence_type": divergence}
            cases.append(case("dpo", loss_type, settings, one(settings, loss_type, n)))
        for c in (0.5, 1.0, 2.0):
            # TRL knows no f64 here: these are f32.
            settings = base | {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": c}
            seen = pairs if loss_type == "sigmoid" else pairs[:n]
            results = [dpo([pair], loss_type, dtype=torch.float32, **settings)[:3] for pair in seen]
            losses, chosen, rejected = zip(*results, strict=True)
            first = lambda rows: [row[0][0] for row in rows]
            cases.append({"trainer": "dpo", "loss_type": loss_type, "parameters": settings, "f32": True, "loss": list(losses),
                          "chosen_weight": first(chosen), "rejected_weight": first(rejected)})
    for loss_type in ("sigmoid", "sigmoid_norm", "sppo_hard"):
        settings = {"beta": 0.125, "ld_alpha": 0.25}
        cases.append(case("dpo", loss_type, settings, one(settings, loss_type), by_token=True))
    for loss_type in ("sigmoid", "ipo", "apo_zero"):
        settings = {"beta": 0.125, "use_weighting": True}
        results = [dpo([pair], loss_type, **settings) for pair in pairs]
        cases.append(case("dpo", loss_type, settings, [r[:3] for r in results], log_sum_sq=[r[3] for r in results]))
    for loss_type in ("aot", "aot_unpaired"):
        for settings in [*betas, *smooth]:
            cases.append(case("dpo", loss_type, settings, [dpo(pairs, loss_type, **settings)[:3]]))
    return cases


def other_cases(pairs):
    cases = []
    for loss_type, mismatched in (("kto", 1.5), ("kto", -2.0), ("apo_zero_unpaired", 0.0)):
        for beta in (0.125, 1.5):
            settings = {"beta": beta, "desirable_weight": 1.0, "undesirable_weight": 1.5}
            results = [kto([pair], loss_type, mismatched, **settings) for pair in pairs]
            cases.append(case("kto", loss_type, settings, results, mismatched_log_ratio=mismatched))
    for loss_type in ("sigmoid", "simpo"):
        for settings in ({"beta": 0.125, "label_smoothing": 0.0, "cpo_alpha": 0.0}, {"beta": 1.5, "label_smoothing": 0.25, "cpo_alpha": 0.5}):
            if loss_type == "simpo":
                settings = settings | {"simpo_gamma": 0.5}
            results = [without_reference(CPOTrainer, [pair], loss_type == "simpo", loss_type=loss_type, **settings) for pair in pairs]
            cases.append(case("cpo", loss_type, settings, results))
    for beta in (0.125, 2.0):
        results = [without_reference(ORPOTrainer, [pair], True, beta=beta) for pair in pairs]
        # TRL's odds are f32.
        cases.append(case("orpo", "orpo", {"beta": beta}, results, f32=True))
    return cases


def smoothed(generator):
    """Cross-entropy of single positions against smoothed labels, and its gradient by the logits."""
    rows = []
    for label, smoothing in enumerate([0.0, 0.125, 0.5, 0.875]):
        logits = (4 * torch.randn(6, generator=generator)).double().requires_grad_()
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(label), label_smoothing=smoothing)
        loss.backward()
        rows.append({"logits": logits.tolist(), "label": label, "label_smoothing": smoothing, "loss": loss.item(),
                     "residual": logits.grad.tolist()})
    return rows


def main():
    found = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "trl": trl.__version__}
    assert found == PINNED, f"these fixtures are made with {PINNED}, found {found}"
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    # TRL's exo_pair makes its label's logarithms in the default type.
    torch.set_default_dtype(torch.float64)
    pairs = make_pairs()
    cases = dpo_cases(pairs) + other_cases(pairs)
    fixture = {"schema": SCHEMA, "made_by": "tests/parity/loss_fixtures.py", "versions": PINNED, "pairs": pairs,
               "smoothed_sft": smoothed(torch.Generator().manual_seed(1))}
    lines = [f'  {json.dumps(key)}: {json.dumps(value)}' for key, value in fixture.items()]
    body = ",\n".join("    " + json.dumps(c, ensure_ascii=False, allow_nan=False) for c in cases)
    OUT.write_text("{\n" + ",\n".join(lines) + ',\n  "cases": [\n' + body + "\n  ]\n}\n")
    print(f"{OUT.name}: {len(cases)} cases of {len(pairs)} pairs, {OUT.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()

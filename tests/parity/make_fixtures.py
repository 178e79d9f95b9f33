#!/usr/bin/env python3
"""Makes the parity fixtures: what PyTorch, transformers and TRL compute on tiny random models.

The fixtures are committed; no build and no test needs Python. To make them again (about 5 GB of packages, a few minutes, CPU only):

    python3 -m venv VENV && . VENV/bin/activate
    pip install --no-deps torch==2.15.0
    pip install filelock typing_extensions sympy networkx jinja2 fsspec numpy==2.4.6
    pip install --no-deps nvidia-cublas==13.4.1.3 nvidia-cuda-cupti==13.2.86 nvidia-cuda-nvrtc==13.2.86 \
        nvidia-cuda-runtime==13.2.86 nvidia-cudnn-cu13==9.26.0.51 nvidia-cufft==12.2.0.57 nvidia-cufile==1.17.1.22 \
        nvidia-cusparse==12.7.10.12 nvidia-cusparselt-cu13==0.8.1 nvidia-nccl-cu13==2.30.7 nvidia-nvjitlink==13.5.37 \
        nvidia-nvshmem-cu13==3.7.2
    pip install --no-deps trl==1.16.0 transformers==5.23.0 safetensors==0.8.0 tokenizers==0.23.3 accelerate==1.15.0 datasets==5.2.0
    pip install packaging pyyaml regex tqdm huggingface_hub==2.4.0 pyarrow==26.0.1 dill==0.4.1 multiprocess xxhash pandas psutil typer rich
    python tests/parity/make_fixtures.py                # all
    python tests/parity/make_fixtures.py neox_parallel  # some
    python tests/parity/make_fixtures.py autocast       # autocast.json, from the folders as they are

The libraries compute in f32; statistics of distributions and norms are taken in f64 from what they return. Losses that TRL
has are TRL's own (`"source": "trl"`: its trainer, its tokenisation, its padded batch); the others are written out here
(`"source": "formula"`). Where both exist they are compared before anything is written.

Each folder of `fixtures/` is a model folder with
    expected.json         the pairs, response statistics, losses with gradient norms, greedy continuations, training runs
    expected.safetensors  logits of some pairs, log-probabilities of every response token
    training.safetensors  what three optimiser steps add to every parameter (two of the models)

`autocast.json` has what some of it becomes under torch's autocast to bf16, by model. That rounds the operands of products
as ldyn's `precision = "bf16"` does, and their results too, and those of the attention.
"""

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"

import copy
import json
import sys
import tempfile
import warnings
from pathlib import Path

import datasets
import torch
import torch.nn.functional as F
import transformers
import trl
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from variants import MAX_POSITIONS, VARIANTS, disk_names, load, write_folder

SCHEMA = 2
PINNED = {"torch": "2.15.0", "transformers": "5.23.0", "trl": "1.16.0"}
FIXTURES = Path(__file__).parent / "fixtures"
EOS = 0
PROMPT_LENGTHS = [5, 9, 1, 3]
CHOSEN_LENGTHS = [6, 4, 8, 5]
REJECTED_LENGTHS = [4, 7, 5, 9]
SHARED_PREFIX = [0, 0, 3, 2]
LOGITS_OF = [("chosen", 1), ("rejected", 3)]
BETA, EPSILON, DELTA, SFT_WEIGHT = 0.1, 0.1, 1.0, 0.2
BATCHES = [[0, 1], [2, 3], [3, 0]]
NEW_TOKENS = 36

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
datasets.disable_progress_bars()
transformers.utils.logging.disable_progress_bar()
warnings.simplefilter("ignore", FutureWarning)


def make_pairs(vocab, generator):
    """Prompts with a chosen and a rejected response; responses end with EOS, some pairs share a prefix."""
    draw = lambda n: torch.randint(1, vocab, (n,), generator=generator).tolist()
    pairs = []
    for p, c, r, s in zip(PROMPT_LENGTHS, CHOSEN_LENGTHS, REJECTED_LENGTHS, SHARED_PREFIX, strict=True):
        shared = draw(s)
        pairs.append({"prompt": draw(p), "chosen": shared + draw(c - s) + [EOS], "rejected": shared + draw(r - s) + [EOS]})
    return pairs


def perturbed(model, seed):
    """The reference model: a copy with noise of 0.12 on every parameter."""
    reference = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, p in sorted(reference.named_parameters()):
            p += 0.12 * torch.randn(p.shape, generator=generator)
    return reference


# Scoring, one sequence at a time, without padding.

def response_logits(model, pair, kind):
    """All logits of prompt + response, and those that predict the response."""
    ids = torch.tensor([pair["prompt"] + pair[kind]])
    logits = model(ids, use_cache=False).logits[0]
    return logits, logits[len(pair["prompt"]) - 1 : -1]


def response_logps(model, pair, kind):
    _, z = response_logits(model, pair, kind)
    return torch.log_softmax(z.float(), -1).gather(1, torch.tensor(pair[kind])[:, None])[:, 0]


def statistics(z, labels):
    """Statistics of a response from its logits, in f64."""
    z, y = z.double(), torch.tensor(labels)
    vocab = z.shape[1]
    logp = torch.log_softmax(z, -1)
    pi = logp.exp()
    label = logp.gather(1, y[:, None])[:, 0]
    top = z.topk(2, -1)
    rest = z.scatter(1, top.indices[:, :1], float("-inf"))
    one_hot = F.one_hot(y, vocab).double()
    return {
        "n_tokens": len(labels),
        "argmax": top.indices[:, 0].tolist(),
        "argmax_min_margin": (top.values[:, 0] - top.values[:, 1]).min().item(),
        "logp": label.sum().item(),
        "logp_mean": label.mean().item(),
        "argmax_logp": logp.max(-1).values.sum().item(),
        "rest_logp": (rest.logsumexp(-1) - z.logsumexp(-1)).sum().item(),
        "a_norm": (vocab * pi.square().sum(-1) + vocab - 2).sqrt().mean().item(),
        "a_norm_reference": (vocab * pi.norm(dim=-1).mean().square() + vocab - 2).sqrt().item(),
        "gap_norm": (pi - one_hot).norm(dim=-1).mean().item(),
        "energy": (1 - label.exp()).mean().item(),
        "entropy": -(pi * logp).sum(-1).mean().item(),
    }


# Losses. `p` holds the summed log-probabilities of a batch under policy and reference, and token counts.

def margins(p):
    return p["chosen"] - p["rejected"] - (p["ref_chosen"] - p["ref_rejected"])


def mean_margins(p):
    return (p["chosen"] - p["ref_chosen"]) / p["n_chosen"] - (p["rejected"] - p["ref_rejected"]) / p["n_rejected"]


def smoothed(p, keep, flip):
    h = BETA * margins(p)
    return (-keep * F.logsigmoid(h) - flip * F.logsigmoid(-h)).mean()


# name -> (the stage in the words of an `ldyn` configuration, TRL's loss_type or None, formula). Every loss is the mean over the batch.
LOSSES = {
    "sft": ({"objective": "sft"}, None, lambda p: -p["chosen"].mean()),
    "sft_token_mean": ({"objective": "sft", "reduction": "token_mean"}, "sft",
                       lambda p: -p["chosen"].sum() / p["n_chosen"].sum()),
    "dpo": ({"objective": "dpo", "beta": BETA}, "sigmoid", lambda p: smoothed(p, 1.0, 0.0)),
    "cdpo": ({"objective": "cdpo", "beta": BETA, "label_smoothing": EPSILON}, None, lambda p: smoothed(p, 1 - EPSILON, EPSILON)),
    "robust": ({"objective": "robust", "beta": BETA, "label_smoothing": EPSILON}, "robust",
               lambda p: smoothed(p, (1 - EPSILON) / (1 - 2 * EPSILON), -EPSILON / (1 - 2 * EPSILON))),
    "ipo": ({"objective": "ipo", "beta": BETA}, None, lambda p: (margins(p) - 1 / (2 * BETA)).square().mean()),
    "ipo_mean": ({"objective": "ipo_mean", "beta": BETA}, "ipo", lambda p: (mean_margins(p) - 1 / (2 * BETA)).square().mean()),
    "hinge": ({"objective": "hinge", "beta": BETA}, "hinge", lambda p: (1 - BETA * margins(p)).relu().mean()),
    "slic": ({"objective": "slic", "delta": DELTA, "sft_weight": SFT_WEIGHT}, None,
             lambda p: ((DELTA - p["chosen"] + p["rejected"]).relu() - SFT_WEIGHT * p["chosen"]).mean()),
    "sppo_hard": ({"objective": "sppo_hard", "beta": BETA}, "sppo_hard",
                  lambda p: ((p["chosen"] - p["ref_chosen"] - 0.5 / BETA).square()
                             + (p["rejected"] - p["ref_rejected"] + 0.5 / BETA).square()).mean()),
}


def sums(model, pairs, reference_logps):
    """What the formulas need, sequence by sequence and without padding."""
    p = {}
    for kind in ("chosen", "rejected"):
        p[kind] = torch.stack([response_logps(model, pair, kind).sum() for pair in pairs])
        p[f"ref_{kind}"] = reference_logps[kind]
        p[f"n_{kind}"] = torch.tensor([len(pair[kind]) for pair in pairs])
    return p


class Scorer:
    """A policy and its reference on the pairs: by formula, and through TRL's trainer."""

    def __init__(self, model, reference, pairs, scratch):
        self.model, self.pairs = model, pairs
        with torch.no_grad():
            self.reference_logps = {
                kind: torch.stack([response_logps(reference, pair, kind).sum() for pair in pairs])
                for kind in ("chosen", "rejected")}
        self.trainer = self.make_trainer(copy.deepcopy(model), copy.deepcopy(reference), scratch)

    def make_trainer(self, model, reference, scratch):
        vocab = model.config.vocab_size
        words = Tokenizer(models.WordLevel({"<eos>": EOS} | {f"t{i}": i for i in range(1, vocab)}, unk_token="<eos>"))
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<eos>")
        text = lambda ids: "".join(f" t{i}" for i in ids if i != EOS)
        rows = [{name: text(ids) for name, ids in pair.items()} for pair in self.pairs]
        args = trl.DPOConfig(output_dir=scratch, bf16=False, gradient_checkpointing=False, use_cpu=True, beta=BETA,
                             report_to=[], save_strategy="no", disable_tqdm=True)
        trainer = trl.DPOTrainer(model, reference, args, train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer)
        for pair, row in zip(self.pairs, trainer.train_dataset, strict=True):
            assert [row[f"{name}_ids"] for name in pair] == list(pair.values()), "TRL tokenised otherwise"
        return trainer

    def sums(self, model, batch):
        return sums(model, [self.pairs[i] for i in batch], {kind: logps[batch] for kind, logps in self.reference_logps.items()})

    def trl_loss(self, loss_type, label_smoothing, batch):
        """TRL's own number, on its padded batch."""
        t = self.trainer
        t.loss_types, t.loss_weights, t.label_smoothing = [loss_type], [1.0], label_smoothing
        inputs = t.data_collator([{k: row[k] for k in ("prompt_ids", "chosen_ids", "rejected_ids")}
                                  for row in (t.train_dataset[i] for i in batch)])
        return t.compute_loss(t.model, inputs)

    def loss(self, name, batch):
        """The loss as a tensor that can be differentiated, the model whose gradient it has, and its source."""
        stage, loss_type, formula = LOSSES[name]
        if loss_type is None:
            return formula(self.sums(self.model, batch)), self.model, "formula"
        return self.trl_loss(loss_type, stage.get("label_smoothing", 0.0), batch), self.trainer.model, "trl"


def close(a, b, rtol, what):
    a, b = float(a), float(b)
    assert abs(a - b) <= rtol * max(abs(a), abs(b)) + 1e-7, f"{what}: {a} and {b}"


def gradient(model):
    return {name: p.grad.double() for name, p in model.named_parameters()}


def norms(grads, names):
    each = [grads[memory].norm().item() for _, memory in names]
    return each, sum(n * n for n in each) ** 0.5


def losses(scorer, names):
    """Every loss on all pairs, its gradient norms, and the check of TRL against the formula."""
    everything = list(range(len(scorer.pairs)))
    rows = []
    for name, (stage, _, formula) in LOSSES.items():
        loss, model, source = scorer.loss(name, everything)
        model.zero_grad()
        loss.backward()
        each, total = norms(gradient(model), names)
        if source == "trl":
            scorer.model.zero_grad()
            ours = formula(scorer.sums(scorer.model, everything))
            ours.backward()
            close(loss.detach(), ours.detach(), 2e-6, f"{name}: TRL and formula")
            close(total, norms(gradient(scorer.model), names)[1], 1e-5, f"{name}: gradient of TRL and formula")
        rows.append({"name": name, "source": source, "stage": stage, "loss": loss.item(),
                     "gradient_norm": total, "gradient_norms": each})
    return rows


# Training.

# name -> (the optimiser's part of a stage, torch's optimiser).
OPTIMISERS = {
    "rmsprop": ({"optimizer": {"name": "rmsprop"}, "learning_rate": 5e-4, "warmup_steps": 2, "max_grad_norm": 10.0},
                torch.optim.RMSprop),
    "adamw": ({"optimizer": {"name": "adamw", "weight_decay": 0.01}, "learning_rate": 1e-3, "warmup_steps": 0, "max_grad_norm": 0.0},
              lambda p, lr: torch.optim.AdamW(p, lr=lr, weight_decay=0.01)),
    "sgd": ({"optimizer": {"name": "sgd", "momentum": 0.9}, "learning_rate": 0.02, "warmup_steps": 2, "max_grad_norm": 1.0},
            lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9)),
}


def train(make_scorer, objective, optimiser, names):
    """Three steps. The learning rate of step t (from 0) is learning_rate * min(1, (t + 1) / (warmup_steps + 1)); a
    max_grad_norm of 0 means no clipping."""
    settings, make = OPTIMISERS[optimiser]
    stage = LOSSES[objective][0] | settings | {"batch_size": len(BATCHES[0])}
    scorer = make_scorer()
    _, model, source = scorer.loss(objective, BATCHES[0])
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = make(model.parameters(), settings["learning_rate"])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: min((t + 1) / (settings["warmup_steps"] + 1), 1))
    steps = []
    for batch in BATCHES:
        loss, _, _ = scorer.loss(objective, batch)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings["max_grad_norm"] or float("inf")).item()
        steps.append({"pairs": batch, "loss": loss.item(), "gradient_norm": norm, "learning_rate": schedule.get_last_lr()[0]})
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        p = scorer.sums(model, list(range(len(scorer.pairs))))
        final = {kind: p[kind].tolist() for kind in ("chosen", "rejected")}
    deltas = {f"{objective}.{optimiser}.{disk}": (dict(model.named_parameters())[memory].detach() - start[memory]).contiguous()
              for disk, memory in names}
    run = {"source": source, "stage": stage, "steps": steps, "final_logps": final}
    return run, deltas


def greedy(model, prompt):
    """The continuation of transformers' own `generate`, with its cache, and by how much each token's logit leads. An EOS
    does not end it."""
    model.generation_config.eos_token_id = None
    ids = torch.tensor([prompt])
    found = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS,
                           pad_token_id=EOS, output_logits=True, return_dict_in_generate=True)
    top = torch.stack(found.logits).squeeze(1).topk(2)
    new = found.sequences[0, len(prompt):].tolist()
    assert new == top.indices[:, 0].tolist() and len(new) == NEW_TOKENS and len(prompt) + NEW_TOKENS <= MAX_POSITIONS
    return {"prompt": list(prompt), "ids": new, "gaps": [round(gap, 6) for gap in (top.values[:, 0] - top.values[:, 1]).tolist()]}


def to_json(value, indent=""):
    """JSON with lists of numbers on one line."""
    if isinstance(value, float):
        return f"{value:.10g}"
    nested = lambda v: isinstance(v, dict) or (isinstance(v, list) and any(isinstance(x, (dict, list)) for x in v))
    if not nested(value) or (isinstance(value, dict) and not value):
        return "[" + ", ".join(map(to_json, value)) + "]" if isinstance(value, list) else json.dumps(value)
    inner = indent + "  "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(k)}: {to_json(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + indent + "}"
    return "[\n" + ",\n".join(inner + to_json(v, inner) for v in value) + "\n" + indent + "]"


def make(variant, scratch):
    folder = FIXTURES / variant.name
    write_folder(variant, folder)
    model = load(folder)
    names = disk_names(model, folder)
    generator = torch.Generator().manual_seed(variant.seed + 500)
    pairs = make_pairs(model.config.vocab_size, generator)
    make_scorer = lambda: Scorer(copy.deepcopy(model), perturbed(model, variant.seed + 1000), pairs, scratch)
    scorer = make_scorer()

    tensors, responses = {}, []
    with torch.no_grad():
        for i, pair in enumerate(pairs):
            for kind in ("chosen", "rejected"):
                logits, z = response_logits(model, pair, kind)
                if (kind, i) in LOGITS_OF:
                    tensors[f"logits.{i}.{kind}"] = logits.contiguous()
                tensors[f"logps.{i}.{kind}"] = response_logps(model, pair, kind)
                reference = scorer.reference_logps[kind][i].item()
                responses.append({"pair": i, "kind": kind, "reference_logp": reference, **statistics(z, pair[kind])})
        generation = [greedy(model, pair["prompt"]) for pair in pairs]

    training, deltas = [], {}
    if variant.trains:
        for objective in ("sft", "dpo"):
            for optimiser in OPTIMISERS:
                run, delta = train(make_scorer, objective, optimiser, names)
                training.append(run)
                deltas |= delta

    expected = {
        "schema": SCHEMA,
        "made_by": "tests/parity/make_fixtures.py, see its head for how to remake this file",
        "versions": PINNED,
        "variant": variant.name,
        "about": variant.about,
        "pairs": pairs,
        "responses": responses,
        "parameters": [disk for disk, _ in names],
        "losses": losses(scorer, names),
        "generation": generation,
        "training": training,
    }
    (folder / "expected.json").write_text(to_json(expected) + "\n")
    save_file(tensors, folder / "expected.safetensors")
    if deltas:
        save_file(deltas, folder / "training.safetensors")

    ratios = [r["logp"] - r["reference_logp"] for r in responses]
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{variant.name:18} {size / 1024:6.0f} KiB  {sum(p.numel() for p in model.parameters()):6} parameters"
          f"  logp/token {responses[0]['logp_mean']:.2f}  entropy {responses[0]['entropy']:.2f}"
          f"  argmax margin {min(r['argmax_min_margin'] for r in responses):.4f}"
          f"  greedy margin {min(min(g['gaps']) for g in generation):.4f}"
          f"  log-ratios {min(ratios):.2f} … {max(ratios):.2f}", flush=True)


def autocast(variant):
    """Summed log-probabilities, losses and gradient norms under autocast to bf16."""
    folder = FIXTURES / variant.name
    expected = json.loads((folder / "expected.json").read_text())
    model, kinds = load(folder), ("chosen", "rejected")
    reference = {kind: torch.tensor([r["reference_logp"] for r in expected["responses"] if r["kind"] == kind]) for kind in kinds}
    found = {"losses": []}
    for name in ("sft", "dpo"):
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            p = sums(model, expected["pairs"], reference)
            loss = LOSSES[name][2](p)
        loss.backward()
        _, total = norms(gradient(model), disk_names(model, folder))
        found["losses"].append({"name": name, "loss": loss.item(), "gradient_norm": total})
    return {kind: p[kind].tolist() for kind in kinds} | found


def main():
    found = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "trl": trl.__version__}
    assert found == PINNED, f"these fixtures are made with {PINNED}, found {found}"
    transformers.logging.set_verbosity_error()
    if sys.argv[1:] == ["autocast"]:
        (FIXTURES / "autocast.json").write_text(to_json({variant.name: autocast(variant) for variant in VARIANTS}) + "\n")
        return
    with tempfile.TemporaryDirectory() as scratch:
        for variant in VARIANTS:
            if len(sys.argv) == 1 or variant.name in sys.argv[1:]:
                make(variant, scratch)


if __name__ == "__main__":
    main()

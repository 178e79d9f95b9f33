"""The PyTorch sides of `training_vs_torch.py`: one job a process, so that its peak memory is its own.

    python benches/training_in_torch.py JOB.json

JOB.json names the job and the file for its result. Every job of training or probing is written twice:

- `torch`, as a competent user would: SDPA attention without a mask where padding lies behind the tokens, response
  positions alone reach the head, foreach optimiser and clipping, log π_ref computed once, both answers of all pairs in one
  padded batch; probes sorted by length, in batches of up to `BUDGET` padded tokens, every statistic from one softmax.
- `reference`, as the code of the paper does: eager attention with a mask, all positions through the head, log_softmax over
  all of them, the reference model run at every DPO step; probes one forward pass a kind and batch of prompts, then
  log_softmax, softmax, norms and one-hot vectors of [batch, positions, V] each.

`trl` is TRL's DPOTrainer with its defaults but bf16 and gradient checkpointing, which it switches on and a CPU only loses by.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false",
               "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

import torch  # noqa: E402 (after the environment)
import torch.nn.functional as F  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

KINDS = ("chosen", "chosen_initial", "chosen_gptsemantic", "chosen_gptformat", "rejected", "reject_gptsemantic", "reject_gptformat",
         "irr_train", "irr_test", "irr_hum", "random_permute", "random_nonhum")
MAX_LENGTH, MAX_PROMPT_LENGTH = 512, 256
# Padded tokens of a competent probing batch, and response positions whose logits are held at once.
BUDGET, POSITIONS = 2048, 256


def chunked(rows, size):
    rows = list(rows)
    return [rows[i:i + size] for i in range(0, len(rows), size)]


# --- What both programs read -------------------------------------------------------------------------------------------

def make_model(job):
    """A folder with random weights of a shape."""
    torch.manual_seed(0)
    folder = Path(job["folder"])
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**job["config"]), dtype=torch.float32)
    model.save_pretrained(folder)
    return {"parameters": sum(p.numel() for p in model.parameters())}


def make_data(job):
    """Batches of pairs and a set of probes: as JSONL for ldyn, as token ids for PyTorch."""
    import tokenizers

    out, size = Path(job["out_folder"]), job["batch_size"]
    tokenizer = tokenizers.Tokenizer.from_file(job["tokenizer"])

    def ids(record):
        """The prompt's last tokens, and every response with its EOS, or to where the room ends."""
        prompt, *responses = (tokenizer.encode(text, add_special_tokens=False).ids for text in record.values())
        prompt = prompt[-MAX_PROMPT_LENGTH:]
        return prompt, {kind: (r + [job["eos"]])[:MAX_LENGTH - len(prompt)] for kind, r in zip(list(record)[1:], responses)}

    def write(name, records):
        rows = [ids(record) for record in records]
        (out / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        (out / f"{name}.json").write_text(json.dumps(rows))
        return rows

    records = [json.loads(line) for line in open(job["data"], encoding="utf-8")]
    pairs = [{k: r[k] for k in ("prompt", "chosen", "rejected")} for r in records if r["chosen"].strip() and r["rejected"].strip()]
    if len(pairs) < job["batches"] * size:
        raise SystemExit(f"{job['data']} has {len(pairs)} usable pairs, {job['batches'] * size} are needed: take fewer rounds")
    batches = [write(f"pairs-{b}", pairs[b * size:(b + 1) * size]) for b in range(job["batches"])]
    probes = write("probe", [{k: r[k] for k in ("prompt", *KINDS) if r[k].strip()} for r in records[:job["prompts"]]])
    tokens = [(len(prompt), len(r["chosen"]), len(r["rejected"])) for batch in batches for prompt, r in batch]
    return {"pairs": tokens, "responses": sum(len(r) for _, r in probes)}


# --- Shared by the sides ------------------------------------------------------------------------------------------------

def load(folder, attention="sdpa"):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention)


def frozen(folder, attention="sdpa"):
    """The reference model: f32 here, where the paper's code has half precision, which a CPU is slower at."""
    return load(folder, attention).eval().requires_grad_(False)


def padded(rows, value=0):
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def dpo_loss(policy, reference, beta):
    """Each is [chosen, rejected] of summed log-probabilities."""
    return -F.logsigmoid(beta * ((policy[0] - reference[0]) - (policy[1] - reference[1]))).mean()


def timed(job, model, step, optimizer):
    """Seconds and numbers of every step: from token ids to updated weights."""
    rows = []
    for _ in range(job["steps"]):
        start = time.perf_counter()
        loss, numbers = step()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), job["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rows.append({"seconds": time.perf_counter() - start, "loss": float(loss.detach()), "grad_norm": float(norm), **numbers})
        rows[-1]["ended"] = time.time()
    return {"steps": rows}


def read_batch(job):
    """(prompt, chosen, rejected) as ids."""
    return [(prompt, r["chosen"], r["rejected"]) for prompt, r in json.loads(Path(job["pairs"]).read_text())]


def means(chosen, rejected=None):
    numbers = {"logps/chosen": float(chosen.detach().mean())}
    return numbers | ({} if rejected is None else {"logps/rejected": float(rejected.detach().mean())})


# --- Training, as a competent user writes it ----------------------------------------------------------------------------

def response_log_probs(model, items):
    """log π of the response tokens of (prompt, response) pairs, one after another."""
    hidden = model.base_model(input_ids=padded([(p + r)[:-1] for p, r in items]), use_cache=False).last_hidden_state
    width = hidden.shape[1]
    rows = torch.tensor([i * width + t for i, (p, r) in enumerate(items) for t in range(len(p) - 1, len(p) + len(r) - 1)])
    logits = model.get_output_embeddings()(hidden.flatten(0, 1).index_select(0, rows))
    return -F.cross_entropy(logits, torch.tensor([t for _, r in items for t in r]), reduction="none")


def response_sums(model, items):
    return torch.stack([tokens.sum() for tokens in response_log_probs(model, items).split([len(r) for _, r in items])])


def both(batch):
    return [(p, c) for p, c, _ in batch] + [(p, j) for p, _, j in batch]


def train_torch(job):
    model, batch = load(job["folder"]), read_batch(job)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=job["rate"], foreach=True)

    def sft():
        tokens = response_log_probs(model, [(p, c) for p, c, _ in batch])
        loss = -tokens.sum() / len(batch)
        return loss, {"logps/chosen": -float(loss.detach())}

    if job["work"] == "sft":
        return timed(job, model, sft, optimizer)
    with torch.no_grad():
        reference = response_sums(model, both(batch)).view(2, -1)

    def dpo():
        policy = response_sums(model, both(batch)).view(2, -1)
        return dpo_loss(policy, reference, job["beta"]), means(*policy)

    return timed(job, model, dpo, optimizer)


# --- Training, as the paper's code writes it ----------------------------------------------------------------------------

def labelled(items):
    """Ids, attention mask and labels, padded; labels are −100 in front of the response and behind it."""
    return (padded([p + r for p, r in items]), padded([[1] * len(p + r) for p, r in items]),
            padded([[-100] * len(p) + r for p, r in items], -100))


def full_logits(model, items):
    """Logits of all positions in f32, the labels they predict, and which of these count."""
    ids, mask, labels = labelled(items)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.to(torch.float32)
    labels = labels[:, 1:].clone()
    counts = labels != -100
    labels[labels == -100] = 0
    return logits[:, :-1, :], labels, counts


def full_sums(model, items):
    logits, labels, counts = full_logits(model, items)
    tokens = torch.gather(logits.log_softmax(-1), dim=2, index=labels.unsqueeze(2)).squeeze(2)
    return (tokens * counts).sum(-1)


def train_reference(job):
    model, batch = load(job["folder"], "eager"), read_batch(job)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=job["rate"])

    def sft():
        policy = full_sums(model, [(p, c) for p, c, _ in batch])
        return -policy.mean(), means(policy)

    if job["work"] == "sft":
        return timed(job, model, sft, optimizer)
    reference_model = frozen(job["folder"], "eager")

    def dpo():
        policy = full_sums(model, both(batch)).view(2, -1)
        with torch.no_grad():
            reference = full_sums(reference_model, both(batch)).view(2, -1)
        return dpo_loss(policy, reference, job["beta"]), means(*policy)

    return timed(job, model, dpo, optimizer)


# --- TRL -----------------------------------------------------------------------------------------------------------------

def train_trl(job):
    """Timed from on_step_begin to on_step_end: without collation."""
    import datasets
    import tokenizers
    from torch.utils.data import SequentialSampler
    from transformers import PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    datasets.disable_progress_bars()
    folder = Path(job["folder"])
    pairs = [{"prompt_ids": p, "chosen_ids": c, "rejected_ids": j} for p, c, j in read_batch(job)] * job["steps"]
    data = datasets.Dataset.from_list(pairs)
    rows, losses = [], []

    class Timer(TrainerCallback):
        def on_step_begin(self, *_, **__):
            self.start = time.perf_counter()

        def on_step_end(self, *_, **__):
            rows.append({"seconds": time.perf_counter() - self.start, "ended": time.time()})

    class SameTokens(DPOTrainer):
        """On token ids that are there already, in their order."""

        def _prepare_dataset(self, dataset, *_):
            return dataset

        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(dataset if dataset is not None else self.train_dataset)

        def compute_loss(self, *args, **kwargs):
            loss = super().compute_loss(*args, **kwargs)
            losses.append(float((loss[0] if isinstance(loss, tuple) else loss).detach()))
            return loss

    raw = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=raw.id_to_token(job["eos"]))
    config = DPOConfig(
        output_dir=job["scratch"], use_cpu=True, bf16=False, gradient_checkpointing=False, per_device_train_batch_size=job["batch_size"],
        max_length=MAX_LENGTH, beta=job["beta"], optim="rmsprop", learning_rate=job["rate"], lr_scheduler_type="constant",
        max_grad_norm=job["clip"], num_train_epochs=1, logging_steps=1, report_to="none", save_strategy="no", disable_tqdm=True)
    trainer = SameTokens(model=load(folder), ref_model=frozen(folder), args=config, train_dataset=data, processing_class=tokenizer,
                         callbacks=[Timer()])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "logps/chosen" in entry]
    for row, loss, entry in zip(rows, losses, logs, strict=True):
        row |= {"loss": loss} | {k: entry[k] for k in ("grad_norm", "logps/chosen", "logps/rejected")}
    return {"steps": rows}


# --- Probing --------------------------------------------------------------------------------------------------------------

@torch.inference_mode()
def sweep_torch(model, probes):
    items = [(i, kind, prompt, response) for i, (prompt, responses) in enumerate(probes) for kind, response in responses.items()]
    items.sort(key=lambda item: len(item[2]) + len(item[3]))
    groups, group = [], []
    for item in items:
        if group and (len(group) + 1) * (len(item[2]) + len(item[3])) > BUDGET:
            groups.append(group)
            group = []
        group.append(item)
    groups.append(group)
    rows, head = [], model.get_output_embeddings()
    for group in groups:
        hidden = model.base_model(input_ids=padded([(p + r)[:-1] for *_, p, r in group]), use_cache=False).last_hidden_state
        hidden = torch.cat([h[len(p) - 1:len(p) + len(r) - 1] for h, (*_, p, r) in zip(hidden, group)])
        targets = torch.tensor([t for *_, r in group for t in r])
        stats = torch.cat([token_stats(head(h), t) for h, t in zip(hidden.split(POSITIONS), targets.split(POSITIONS))], dim=1)
        for (i, kind, *_), of_response in zip(group, stats.split([len(r) for *_, r in group], dim=1)):
            rows.append({"example": i, "kind": kind} | summary(of_response, model.config.vocab_size))
    return rows


def token_stats(logits, targets):
    """log π of the target, largest log π, |π|², entropy: [4, positions]."""
    normaliser = logits.logsumexp(-1)
    target = logits.gather(1, targets[:, None]).squeeze(1) - normaliser
    largest = logits.amax(-1) - normaliser
    mean = torch.linalg.vecdot(probabilities := logits.softmax(-1), logits)
    return torch.stack([target, largest, torch.linalg.vecdot(probabilities, probabilities), normaliser - mean])


def summary(stats, vocab):
    """Sums of log-probabilities and means of norms over a response, in f64."""
    target, largest, squares, entropy = stats.double()
    return {"logp": target.sum().item(), "argmax_logp": largest.sum().item(), "rest_logp": torch.log1p(-largest.exp()).sum().item(),
            "a_norm": (vocab * squares + vocab - 2).sqrt().mean().item(),
            "a_norm_reference": (vocab * squares.sqrt().mean() ** 2 + vocab - 2).sqrt().item(),
            "gap_norm": (squares - 2 * target.exp() + 1).sqrt().mean().item(), "energy": (1 - target.exp()).mean().item(),
            "entropy": entropy.mean().item()}


@torch.no_grad()
def sweep_reference(model, probes, batch_size):
    rows = []
    for batch in chunked(enumerate(probes), batch_size):
        for kind in KINDS:
            present = [(i, prompt, responses[kind]) for i, (prompt, responses) in batch if kind in responses]
            if not present:
                continue
            logits, labels, counts = full_logits(model, [(p, r) for _, p, r in present])
            logs = logits.log_softmax(-1)
            log_prob = torch.gather(logs, dim=2, index=labels.unsqueeze(2)).squeeze(2)
            prob = logits.softmax(-1)
            largest = prob.max(-1).values
            number, vocab = counts.sum(-1), logits.shape[-1]
            norm = (prob.norm(dim=-1) * counts).sum(-1) / number
            gap = ((prob - F.one_hot(labels, vocab)).norm(dim=-1) * counts).sum(-1) / number
            energy = ((1 - torch.gather(prob, 2, labels.unsqueeze(2)).squeeze(2)) * counts).sum(-1) / number
            columns = {"logp": (log_prob * counts).sum(-1), "argmax_logp": (logs.max(-1).values * counts).sum(-1),
                       "rest_logp": (torch.log(1 - largest + 1e-100) * counts).sum(-1),
                       "a_norm_reference": (vocab * norm ** 2 + vocab - 2).sqrt(), "gap_norm": gap, "energy": energy}
            columns = {name: values.tolist() for name, values in columns.items()}
            rows += [{"example": i, "kind": kind} | {n: v[b] for n, v in columns.items()} for b, (i, *_) in enumerate(present)]
    return rows


def probe(job):
    probes = json.loads(Path(job["probe"]).read_text())
    reference = job["side"] == "reference"
    model = load(job["folder"], "eager" if reference else "sdpa").eval()
    seconds = []
    for _ in range(job["sweeps"]):
        start = time.perf_counter()
        rows = sweep_reference(model, probes, job["batch_size"]) if reference else sweep_torch(model, probes)
        seconds.append(time.perf_counter() - start)
    return {"seconds": sum(seconds) / len(seconds), "rows": rows}


def main():
    job = json.loads(Path(sys.argv[1]).read_text())
    if "threads" in job:
        torch.set_num_threads(job["threads"])
    jobs = {"model": make_model, "data": make_data, "probe": probe}
    train = {"torch": train_torch, "reference": train_reference, "trl": train_trl}
    run = jobs.get(job["work"]) or train[job["side"]]
    Path(job["out"]).write_text(json.dumps(run(job)))


if __name__ == "__main__":
    main()

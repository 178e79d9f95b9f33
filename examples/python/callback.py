"""A callback for the Trainer of `transformers` that writes what `ldyn` reads.

Every few optimiser steps it scores probe responses with the model that is being trained, by teacher forcing, and appends a
row a prompt and kind to `probes.jsonl`; steps go to `metrics.jsonl`, and `manifest.json` says what the numbers mean: the
records that a run of `ldyn` leaves. So `ldyn report FOLDER --alarms`, at any time, while it trains or after, looks for mass that is
squeezed, y⁺ that is displaced, a model that grows less sure of everything, and shows every kind's curves. With
`ldyn="ldyn"` the callback asks for that itself after every probe, prints new alarms and can stop the training at one.

    probes = [{"prompt": "...", "chosen": "...", "rejected": "...", "chosen_gptsemantic": "..."}, ...]
    record = LdynCallback("runs/dpo", probes, tokenizer, every=50, objective="dpo", stop_on=["squeeze"], ldyn="ldyn")
    DPOTrainer(model, ..., callbacks=[record]).train()

Kinds have the names of the data files of `ldyn`; `chosen` and `rejected` are y⁺ and y⁻, others are optional. Rules
need at least five prompts. What is scored is prompt + response + end-of-sequence, each tokenised by itself.
"""

import json
import pathlib
import subprocess
import time

import ldyn as core
import torch
from transformers import TrainerCallback

SCHEMA = 1  # of the records: `SCHEMA_VERSION` of runner/src/record/mod.rs


def response_row(model, prompt, response):
    """The fields of a probe row that are about numbers: one response (token ids) after one prompt."""
    ids = torch.tensor([prompt + response], device=model.device)
    logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
    return core.response_stats(logits.float().cpu().numpy(), response)


class LdynCallback(TrainerCallback):
    """Writes the records of one stage of training into a new folder."""

    def __init__(
        self, folder, probes, tokenizer, *, every=50, objective="dpo", max_prompt=256, max_length=512, stop_on=(), ldyn=None
    ):
        """`objective` is what ldyn calls it: "sft", "dpo", ...; `stop_on` are rules whose alarm ends the training."""
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no end-of-sequence token; responses end with it")
        if stop_on and ldyn is None:
            raise ValueError("stop_on needs the program that looks for alarms: ldyn='ldyn'")
        if not 0 < max_prompt < max_length:
            raise ValueError(f"max_prompt is {max_prompt}; expected more than 0 and less than max_length, {max_length}")
        self.folder, self.every, self.objective = pathlib.Path(folder), every, objective
        self.stop_on, self.program, self.seen_alarms = set(stop_on), ldyn, 0
        self.kinds = list(dict.fromkeys(kind for probe in probes for kind in probe if kind != "prompt"))
        if "chosen" not in self.kinds:
            raise ValueError(f"no probe has `chosen`; found {self.kinds}")
        encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
        self.probes = []
        for probe in probes:
            prompt = encode(probe["prompt"])[-max_prompt:] or [tokenizer.eos_token_id]
            room = max_length - len(prompt)
            answers = {kind: (encode(probe[kind]) + [tokenizer.eos_token_id])[:room] for kind in self.kinds if kind in probe}
            self.probes.append((prompt, answers))
        self.probe_seconds, self.last_probe, self.tokens = 0.0, None, 0

    # ---- records -----------------------------------------------------------------------------------

    def append(self, name, rows):
        with open(self.folder / name, "a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    def write_manifest(self, model, args, state, finished):
        manifest = {
            "schema": SCHEMA,
            "version": f"ldyn {core.__version__} for Python",
            "title": self.folder.name,
            "seed": args.seed,
            "threads": torch.get_num_threads(),
            "device": f"{model.device} {str(model.dtype).removeprefix('torch.')}",
            "model": f"{model.config.model_type}, {model.num_parameters() / 1e6:.1f} M parameters",
            "parameters": model.num_parameters(),
            "vocab_size": model.config.vocab_size,
            "hashes": {"data": "", "tokenizer": "", "model": ""},
            "train_examples": self.train_examples,
            "probe_prompts": len(self.probes),
            "kinds": self.kinds,
            "planned_stages": 1,
            "stages": [
                {
                    "name": self.objective,
                    "objective": self.objective,
                    "summary": f"{self.objective} by transformers' {args.optim}, learning rate {args.learning_rate}",
                    "steps": state.max_steps,
                    "finished": finished,
                    "train_seconds": time.monotonic() - self.begun - self.probe_seconds,
                    "probe_seconds": self.probe_seconds,
                    "notes": [],
                }
            ],
            "notes": ["Trained by the Trainer of transformers; recorded by examples/python/callback.py."],
        }
        partial = self.folder / "manifest.json.partial"
        partial.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        partial.replace(self.folder / "manifest.json")

    def examples_seen(self, args, state):
        processes = getattr(args, "world_size", 1)
        return state.global_step * args.train_batch_size * args.gradient_accumulation_steps * processes

    @torch.no_grad()
    def probe(self, model, args, state):
        started, training = time.monotonic(), model.training
        model.eval()
        when = {"stage": self.objective, "step": state.global_step, "examples_seen": self.examples_seen(args, state)}
        rows = [
            {**when, "example": example, "kind": kind, **response_row(model, prompt, answer)}
            for example, (prompt, answers) in enumerate(self.probes)
            for kind, answer in answers.items()
        ]
        model.train(training)
        self.append("probes.jsonl", rows)
        self.probe_seconds += time.monotonic() - started
        self.last_probe = state.global_step

    def alarms(self):
        """The alarms that `ldyn` finds in the records so far, those that are new."""
        subprocess.run([self.program, "--quiet", "report", "--alarms", self.folder], check=True, stdout=subprocess.DEVNULL)
        lines = (self.folder / "alarms.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        new, self.seen_alarms = found[self.seen_alarms :], len(found)
        return new

    # ---- what the Trainer calls --------------------------------------------------------------------

    def on_train_begin(self, args, state, control, model=None, train_dataloader=None, **_):
        if not state.is_world_process_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        taken = [name for name in ("manifest.json", "probes.jsonl", "metrics.jsonl") if (self.folder / name).exists()]
        if taken:
            raise FileExistsError(f"{self.folder} holds a run already ({', '.join(taken)}): choose another folder")
        self.begun, self.step_begun = time.monotonic(), time.monotonic()
        self.train_examples = len(train_dataloader.dataset) if hasattr(train_dataloader, "dataset") else 0
        self.write_manifest(model, args, state, finished=False)
        self.probe(model, args, state)

    def on_log(self, args, state, control, logs=None, **_):
        """A row of `metrics.jsonl` for each step that the Trainer logs; TRL's names are ldyn's."""
        if not state.is_world_process_zero or "loss" not in (logs or {}):
            return
        now, tokens = time.monotonic(), int(logs.get("num_tokens", 0))
        row = {
            "stage": self.objective,
            "step": state.global_step,
            "examples_seen": self.examples_seen(args, state),
            "epoch": state.epoch or 0.0,
            "loss": float(logs["loss"]),
            "learning_rate": float(logs.get("learning_rate", args.learning_rate)),
            "grad_norm": float(logs.get("grad_norm", 0.0)),
            "num_tokens": max(0, tokens - self.tokens),  # the Trainer counts from the start
            "seconds": now - self.step_begun,
        }
        same = ("logps/chosen", "logps/rejected", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies")
        self.append("metrics.jsonl", [{**row, **{name: float(logs[name]) for name in same if name in logs}}])
        self.step_begun, self.tokens = now, tokens

    def on_step_end(self, args, state, control, model=None, **_):
        if not state.is_world_process_zero or state.global_step % self.every:
            return
        self.probe(model, args, state)
        self.look(control)

    def on_train_end(self, args, state, control, model=None, **_):
        if not state.is_world_process_zero:
            return
        if self.last_probe != state.global_step:
            self.probe(model, args, state)
        self.write_manifest(model, args, state, finished=state.global_step >= state.max_steps)
        self.look(control)

    def look(self, control):
        if self.program is None:
            return
        for alarm in self.alarms():
            numbers = "; ".join(f"{n['what']} {n['value']:.3g}" for n in alarm["numbers"])
            print(f"alarm `{alarm['rule']}` at step {alarm['step']}: {numbers}")
            if alarm["rule"] in self.stop_on:
                control.should_training_stop = True

"""The module against torch, and the callback under the Trainer of transformers, on a tiny random GPTNeoX.

Needs torch and transformers. If $LDYN names the program `ldyn`, it makes the report of what the callback wrote, and looks
for alarms in it.
"""

import json
import os
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

import ldyn
from callback import LdynCallback, response_row

WORDS = "the a cat dog house tree runs sleeps sings near under over big small red blue who what where and .".split()
EOS = "<eos>"


def softmax_and_gradient_are_those_of_torch():
    z = torch.randn(5, 300, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(300, (5,))
    log_pi = torch.log_softmax(z, -1)
    assert np.abs(ldyn.log_softmax(z.detach().numpy()) - log_pi.detach().numpy()).max() < 1e-14
    torch.nn.functional.cross_entropy(z, labels, reduction="sum").backward()
    assert np.abs(ldyn.residual(z.detach().numpy(), labels.numpy()) - z.grad.numpy()).max() < 1e-15


def dpo_and_its_weights_are_those_of_torch():
    logps = [(-20 + 3 * torch.randn(6, dtype=torch.float64)).requires_grad_(i < 2) for i in range(4)]
    chosen, rejected, ref_chosen, ref_rejected = logps
    loss = -torch.nn.functional.logsigmoid(0.3 * ((chosen - ref_chosen) - (rejected - ref_rejected)))
    loss.sum().backward()
    found = ldyn.preference_loss("dpo", *(x.detach().numpy() for x in logps), beta=0.3)
    for ours, theirs in zip(found, (loss.detach(), -chosen.grad, rejected.grad)):
        assert np.abs(ours - theirs.numpy()).max() < 1e-14


def tiny_model_and_tokenizer():
    vocabulary = {word: i for i, word in enumerate([EOS, "<unk>", *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=EOS, unk_token="<unk>", pad_token=EOS)
    torch.manual_seed(3)
    shape = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=64)
    return GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=len(vocabulary), **shape)), tokenizer


def a_row_is_what_torch_says():
    model, tokenizer = tiny_model_and_tokenizer()
    model.eval()
    prompt, response = tokenizer("who sings")["input_ids"], tokenizer("the cat sings .")["input_ids"]
    with torch.no_grad():
        row = response_row(model, prompt, response)
        log_pi = torch.log_softmax(model(torch.tensor([prompt + response])).logits[0].double(), -1)
    own = log_pi[range(len(prompt) - 1, len(prompt) + len(response) - 1), response]
    assert row["n_tokens"] == 4 and abs(row["logp"] - own.sum().item()) < 1e-5


class Pushed(Trainer):
    """Gradient ascent on −log π of a few answers: it squeezes the mass of all others out of a model too."""

    def compute_loss(self, model, inputs, return_outputs=False, **_):
        logits = model(input_ids=inputs["input_ids"]).logits[:, :-1]
        loss = -torch.nn.functional.cross_entropy(logits.flatten(0, 1), inputs["input_ids"][:, 1:].flatten())
        return (loss, logits) if return_outputs else loss


def the_trainer_leaves_records_that_ldyn_reads():
    model, tokenizer = tiny_model_and_tokenizer()
    pick = np.random.default_rng(5)
    sentence = lambda: " ".join(pick.choice(WORDS, 6))
    probes = [{"prompt": sentence(), "chosen": sentence(), "rejected": sentence(), "reject_gptformat": sentence()} for _ in range(8)]
    texts = [f"{probe['prompt']} {probe[kind]}" for probe in probes for kind in probe if kind != "prompt"]
    data = [{"input_ids": tokenizer(text)["input_ids"]} for text in texts]
    program = os.environ.get("LDYN")
    with tempfile.TemporaryDirectory() as home:
        folder = pathlib.Path(home) / "run"
        arguments = TrainingArguments(
            output_dir=f"{home}/trainer", per_device_train_batch_size=8, max_steps=12, learning_rate=2e-2, logging_steps=1,
            save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, remove_unused_columns=False, seed=1,
        )
        stop = dict(stop_on=["squeeze"], ldyn=program) if program else {}
        record = LdynCallback(folder, probes, tokenizer, every=4, objective="dpo", **stop)
        trainer = Pushed(model, arguments, train_dataset=data, callbacks=[record])
        trainer.remove_callback(PrinterCallback)
        trainer.train()

        rows = [json.loads(line) for line in open(folder / "probes.jsonl")]
        taken = sorted({row["step"] for row in rows})
        assert taken[:2] == [0, 4] and len(rows) == len(taken) * 8 * 3, taken
        assert {row["examples_seen"] for row in rows if row["step"] == 4} == {32}
        assert {row["kind"] for row in rows} == {"chosen", "rejected", "reject_gptformat"}
        metrics = [json.loads(line) for line in open(folder / "metrics.jsonl")]
        assert [row["step"] for row in metrics] == list(range(1, taken[-1] + 1))
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["stages"][0]["finished"] == (taken[-1] == 12) and manifest["probe_prompts"] == 8
        mean = lambda step: np.mean([row["logp_mean"] for row in rows if row["step"] == step and row["kind"] == "chosen"])
        assert mean(taken[-1]) < mean(0) - 0.5, "ascent lowers log π"
        try:
            Pushed(model, arguments, train_dataset=data, callbacks=[LdynCallback(folder, probes, tokenizer)]).train()
            raise AssertionError("a folder that holds a run was written to")
        except FileExistsError as error:
            assert "holds a run already" in str(error)
        if not program:
            print("   skipped: the report ($LDYN names no program)")
            return
        alarms = [json.loads(line) for line in open(folder / "alarms.jsonl")]
        assert {alarm["rule"] for alarm in alarms} == {"unsure-of-everything", "squeeze"}, alarms
        assert taken[-1] == 4 and not manifest["stages"][0]["finished"], "the alarm did not stop the training"
        shown = subprocess.run([program, "report", folder], check=True, capture_output=True, text=True).stdout
        assert "squeeze" in shown and (folder / "report.html").exists(), shown


if __name__ == "__main__":
    for test in [
        softmax_and_gradient_are_those_of_torch,
        dpo_and_its_weights_are_those_of_torch,
        a_row_is_what_torch_says,
        the_trainer_leaves_records_that_ldyn_reads,
    ]:
        test()
        print(f"   {test.__name__.replace('_', ' ')}")

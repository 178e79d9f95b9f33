#!/usr/bin/env python3
"""Times greedy `ldyn generate` beside transformers' `generate`, in turns, in one run.

Needs: cargo; Python >= 3.10 with torch and transformers. From the repository's root:

    python benches/generate_vs_transformers.py [--rounds 7] [--threads N] [--model FOLDER] [--ldyn PATH]

Both read one model folder, in f32 on the CPU, with the same number of threads; without `--model` it is one of Pythia-14M's
shape with random weights and a tokenizer of bytes. Each prompt of a batch is continued by `--new` tokens (EOS is never
drawn, or the run is refused), from keys and values that either side keeps. Timed is what either side does from prompt ids to new ids:
`ldyn generate` says its own pace, without loading; transformers is warmed up first. Printed are medians over the rounds, and
the median of each round's ratios: load that comes and goes falls on both. `--ldyn` names a built program instead of
building it.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from training_vs_torch import built_ldyn

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import tokenizers  # noqa: E402 (after the environment)
import torch  # noqa: E402
import transformers  # noqa: E402

QUESTIONS = ("How do I rinse rice before I cook it?", "What is a horseshoe?", "How do I repot a cactus without being stung by it?",
             "Why is the sky blue?", "Can you name three rivers in France and the towns they pass?", "How long do eggs boil?",
             "What should I pack for a week in the mountains in May?", "Who wrote the first dictionary?",
             "How is paper made?", "Is it safe to eat honey that is old?", "Which birds stay here in winter?", "What is a sonnet?",
             "How do I get wax out of a tablecloth?", "Why do leaves turn red?", "Can cats eat rice?", "How far away is the moon?")
EOS = 256


def make_model(folder):
    """Pythia-14M's shape with random weights; a tokenizer whose tokens are the 256 bytes and EOS."""
    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}
    config = transformers.GPTNeoXConfig(
        vocab_size=50304, hidden_size=128, num_hidden_layers=6, num_attention_heads=4, intermediate_size=512,
        max_position_embeddings=2048, rope_parameters=rope, bos_token_id=EOS, eos_token_id=EOS)
    transformers.GPTNeoXForCausalLM(config).save_pretrained(folder)
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({c: i for i, c in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(folder / "tokenizer.json"))


class Transformers:
    def __init__(self, folder, new):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.eos, self.new = self.model.config.eos_token_id, new

    def run(self, prompts):
        """Seconds, and the responses."""
        ids = [self.tokenizer.encode(p, add_special_tokens=False).ids for p in prompts]
        longest = max(map(len, ids))
        start = time.perf_counter()
        padded = torch.tensor([[0] * (longest - len(i)) + i for i in ids])
        mask = torch.tensor([[0] * (longest - len(i)) + [1] * len(i) for i in ids])
        with torch.inference_mode():
            out = self.model.generate(padded, attention_mask=mask, do_sample=False, max_new_tokens=self.new, pad_token_id=0)
        seconds = time.perf_counter() - start
        out = out[:, longest:].tolist()
        assert all(len(o) == self.new and self.eos not in o for o in out), "an EOS was drawn: choose other prompts"
        return seconds, [self.tokenizer.decode(o, skip_special_tokens=False) for o in out]


def in_ldyn(program, folder, threads, prompts, new):
    """Seconds, and the responses."""
    command = [program, "generate", "--threads", str(threads), "--model", str(folder), "--temperature", "0", "--max-new-tokens", str(new)]
    command += [argument for prompt in prompts for argument in ("--prompt", prompt)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    tokens, seconds = re.search(r"(\d+) tokens in ([\d.]+) s", done.stderr).groups()
    assert int(tokens) == new * len(prompts), "an EOS was drawn: choose other prompts"
    return float(seconds), [json.loads(line)["response"] for line in done.stdout.splitlines()]


def processor():
    names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--new", type=int, default=128, help="tokens by which each prompt is continued")
    parser.add_argument("--model", type=Path, help="a model folder with its tokenizer.json")
    parser.add_argument("--ldyn", help="a built ldyn")
    options = parser.parse_args()
    program = options.ldyn or built_ldyn()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(f"{processor()}; {options.threads} threads; torch {torch.__version__}, transformers {transformers.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model or Path(scratch)
        if not options.model:
            make_model(folder)
        prompts = [f"\n\nHuman: {question}\n\nAssistant:" for question in QUESTIONS]
        peer = Transformers(folder, options.new)
        batches = [prompts[:1], prompts]
        paces = {len(batch): [] for batch in batches}
        for batch in batches:
            peer.run(batch)
        for _ in range(options.rounds):
            for batch in batches:
                (ours, text), (theirs, expected) = in_ldyn(program, folder, options.threads, batch, options.new), peer.run(batch)
                paces[len(batch)].append([len(batch) * options.new / seconds for seconds in (ours, theirs)])
                if text != expected:
                    equal = sum(a == b for a, b in zip(text, expected))
                    print(f"batch {len(batch)}: {equal} of {len(batch)} responses are the same text")
    print(f"new tokens per second, {options.new} behind each prompt; medians of {options.rounds} rounds; ratios above 1 in ldyn's favour\n")
    print("| batch | ldyn | transformers | ratio | least and largest ratio |")
    print("|--:|--:|--:|--:|--:|")
    for size, pace in paces.items():
        ratios = [ours / theirs for ours, theirs in pace]
        ours, theirs = (f"{statistics.median(side):.0f}" for side in zip(*pace))
        print(f"| {size} | {ours} | {theirs} | {statistics.median(ratios):.2f} | {min(ratios):.2f} … {max(ratios):.2f} |")


if __name__ == "__main__":
    main()

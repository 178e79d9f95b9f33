#!/usr/bin/env python3
"""Do folders that ldyn wrote give transformers the same logits?

    LDYN_PARITY_OUT=NEW_FOLDER cargo test --test parity a_saved_folder
    python tests/parity/check_saved.py NEW_FOLDER

The test saves every parity model to a folder of its own, with `logits.safetensors` beside the weights: token ids, the
logits that ldyn computed for them, and the tolerance. This script loads each folder as a user would and prints the greatest difference; it
fails if one exceeds the tolerance, if a weight was missing or left over, or if the folder differs in size from the one
that transformers wrote. Python needs the packages named in make_fixtures.py.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

FIXTURES = Path(__file__).parent / "fixtures"

torch.set_num_threads(1)


def load(folder):
    """The model in f32, and what transformers has to say about its weights."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)


def check(folder):
    model, info = load(folder)
    complaints = {k: v for k, v in info.items() if v}
    assert not complaints, f"{folder}: {complaints}"
    original, _ = load(FIXTURES / folder.name)
    assert model.num_parameters() == original.num_parameters(), f"{folder}: {model.num_parameters()} parameters"
    written = load_file(folder / "logits.safetensors")
    greatest = 0.0
    with torch.no_grad():
        for name in sorted(n for n in written if n.startswith("ids.")):
            expected = written[name.replace("ids", "logits")]
            logits = model.eval()(written[name][None]).logits[0]
            assert logits.shape == expected.shape, f"{folder} {name}: {logits.shape}"
            greatest = max(greatest, (logits - expected).abs().max().item())
    print(f"{folder.name:18} {model.config.model_type:8} {model.num_parameters():6} parameters, greatest difference {greatest:.2e}")
    return greatest, written["tolerance"].item()


def main():
    transformers.utils.logging.disable_progress_bar()
    folders = sorted(p.parent for p in Path(sys.argv[1]).glob("*/logits.safetensors"))
    assert folders, f"{sys.argv[1]} holds no folder with logits.safetensors"
    worst, tolerance = max(check(folder) for folder in folders)
    print(f"{len(folders)} folders, greatest difference {worst:.2e}, tolerance {tolerance:.0e}")
    sys.exit(not worst <= tolerance)


if __name__ == "__main__":
    main()

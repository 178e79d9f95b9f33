"""The tiny models of the parity fixtures: their configurations, their random weights and the folders they are stored in."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM, Qwen2Config, Qwen2ForCausalLM

MAX_POSITIONS = 64


@dataclass
class Variant:
    """One model folder. `head_gain` scales the head (tied: the embedding), so that the logits are neither flat nor saturated."""

    name: str
    about: str
    seed: int
    config: object
    dtype: torch.dtype = torch.float32
    old_keys: bool = False
    stale_buffers: bool = False
    shard_size: str = "5GB"
    head_gain: float = 2.0
    trains: bool = False
    extra_config: dict = field(default_factory=dict)


def neox(hidden, heads, layers, vocab, pct, base, **more):
    return GPTNeoXConfig(
        vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=more.pop("intermediate", 2 * hidden), max_position_embeddings=MAX_POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": float(base), "partial_rotary_factor": pct},
        bos_token_id=0, eos_token_id=0, **more)


def qwen(hidden, heads, kv_heads, layers, vocab, base, **more):
    return Qwen2Config(
        vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, intermediate_size=more.pop("intermediate", 2 * hidden),
        max_position_embeddings=MAX_POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": float(base)},
        bos_token_id=0, eos_token_id=0, **more)


VARIANTS = [
    Variant("neox_parallel", "Pythia's shape: parallel residual, a quarter of each head rotates, exact GELU",
            11, neox(32, 2, 2, 128, 0.25, 10000), trains=True),
    Variant("neox_sequential", "sequential residual, whole heads rotate, tied head",
            12, neox(32, 4, 3, 160, 1.0, 10000, use_parallel_residual=False, tie_word_embeddings=True), head_gain=2.2),
    Variant("neox_odd_rotary", "int(head_dim * rotary_pct) = 3: four dimensions rotate, with exponents in thirds; base 1000; gelu_new",
            13, neox(36, 3, 2, 128, 0.25, 1000, hidden_act="gelu_new")),
    Variant("neox_f16_no_bias", "no attention bias, stored as f16, key torch_dtype",
            14, neox(48, 4, 2, 192, 0.5, 10000, attention_bias=False), dtype=torch.float16, old_keys=True),
    Variant("neox_old_keys", "configuration keys and buffers of early Pythia folders; the stored inv_freq is wrong and must be ignored",
            15, neox(32, 2, 2, 128, 0.25, 10000), old_keys=True, stale_buffers=True),
    Variant("neox_sharded", "several files with an index, gelu_fast, wide feed-forward layer",
            16, neox(32, 2, 2, 256, 1.0, 10000, intermediate=128, hidden_act="gelu_fast"), shard_size="50KB"),
    Variant("qwen_mha_tied", "Qwen1.5-0.5B's shape: as many key as query heads, tied head",
            21, qwen(32, 4, 4, 2, 128, 1000000, tie_word_embeddings=True)),
    Variant("qwen_gqa_tied", "grouped queries, tied head, configuration keys of transformers 4",
            22, qwen(32, 4, 2, 2, 128, 10000, tie_word_embeddings=True), old_keys=True, trains=True),
    Variant("qwen_gqa_untied", "one key head for four query heads, head of its own",
            23, qwen(32, 4, 1, 2, 160, 10000, tie_word_embeddings=False)),
    Variant("qwen_bf16", "head of its own, stored as bf16, configuration keys of transformers 4",
            24, qwen(48, 3, 3, 2, 192, 1000000, tie_word_embeddings=False), dtype=torch.bfloat16, old_keys=True),
    Variant("qwen_sharded", "several files with an index, three layers, tied head, 320 labels",
            25, qwen(32, 2, 1, 3, 320, 10000, tie_word_embeddings=True), shard_size="50KB"),
]


def fill(model, variant, generator):
    """Random weights of a size at which attention, feed-forward layers and biases all matter."""
    tied = model.config.tie_word_embeddings
    for name, p in sorted(model.named_parameters()):
        noise = torch.randn(p.shape, generator=generator)
        if name.endswith("bias"):
            value = 0.3 * noise
        elif p.dim() == 1:
            value = 1 + 0.25 * noise
        elif "embed" in name:
            value = noise * (variant.head_gain * p.shape[1] ** -0.5 if tied else 0.7)
        elif "lm_head" in name:
            value = noise * variant.head_gain * p.shape[1] ** -0.5
        else:
            value = noise * 1.5 * p.shape[1] ** -0.5
        with torch.no_grad():
            p.copy_(value)


def old_config(config):
    """The keys that transformers 4 wrote."""
    rope = config.pop("rope_parameters")
    config["torch_dtype"] = config.pop("dtype")
    if config["model_type"] == "gpt_neox":
        config["rotary_pct"] = rope["partial_rotary_factor"]
        config["rotary_emb_base"] = int(rope["rope_theta"])
        config["transformers_version"] = "4.24.0"
    else:
        config["rope_theta"] = rope["rope_theta"]
        config["sliding_window"] = MAX_POSITIONS
        config.pop("layer_types")
        config["transformers_version"] = "4.37.0"
    return dict(sorted(config.items()))


def add_stale_buffers(path, config):
    """The buffers that early Pythia files carry, with an inv_freq that no configuration gives."""
    with safe_open(path, "pt") as f:
        tensors, metadata = {k: f.get_tensor(k) for k in f.keys()}, f.metadata()
    for i in range(config["num_hidden_layers"]):
        at = f"gpt_neox.layers.{i}.attention."
        mask = torch.ones(MAX_POSITIONS, MAX_POSITIONS, dtype=torch.bool).tril()[None, None]
        tensors[at + "bias"] = mask if i % 2 == 0 else mask.to(torch.uint8)
        tensors[at + "masked_bias"] = torch.tensor(-1e9)
        tensors[at + "rotary_emb.inv_freq"] = torch.tensor([3.0, 0.7])
    save_file(tensors, path, metadata)


def write_folder(variant, folder):
    """Writes the model as a Hugging Face folder."""
    shutil.rmtree(folder, ignore_errors=True)
    generator = torch.Generator().manual_seed(variant.seed)
    kind = GPTNeoXForCausalLM if variant.config.model_type == "gpt_neox" else Qwen2ForCausalLM
    model = kind(variant.config)
    fill(model, variant, generator)
    model.to(variant.dtype).save_pretrained(folder, max_shard_size=variant.shard_size)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config_path = folder / "config.json"
    config = json.loads(config_path.read_text())
    if variant.old_keys:
        config = old_config(config)
        config_path.write_text(json.dumps(config, indent=2) + "\n")
    if variant.stale_buffers:
        add_stale_buffers(folder / "model.safetensors", config)


def load(folder):
    """The folder as transformers reads it, computed in f32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()




def disk_names(model, folder: Path):
    """Names of the parameters in memory and in files, in order of the latter."""
    stored = set()
    for file in folder.glob("model*.safetensors"):
        with safe_open(file, "pt") as f:
            stored |= set(f.keys())
    pairs = []
    for name, _ in model.named_parameters():
        disk = name if name in stored else {"lm_head.weight": "embed_out.weight"}[name]
        assert disk in stored, disk
        pairs.append((disk, name))
    return sorted(pairs)

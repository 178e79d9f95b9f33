//! The base model that the program carries.

macro_rules! files {
    ($($name:literal),*) => { [$(($name, include_bytes!(concat!("base/", $name)))),*] };
}

/// Its files: the folder `pretrain` of `ldyn demo --pretrain --seed 1`.
pub(super) const FILES: [(&str, &[u8]); 4] =
    files!("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json");

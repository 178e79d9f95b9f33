//! Weights from a Hugging Face folder: one safetensors file, or many with an index.

use crate::{files, memory};
use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor, Var};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tracing::debug;

/// The weights in one file.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// The list of files of weights that are spread over many.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// Names listed in full in an error message.
const LISTED: usize = 5;

/// What a folder's weights must be.
pub(super) struct Expected {
    /// Name and shape of every parameter.
    pub(super) shapes: BTreeMap<String, Vec<usize>>,
    /// Ends of names that are passed over.
    pub(super) buffers: &'static [&'static str],
    /// Head and embedding, where they are one: a second copy is passed over if it is equal.
    pub(super) tied: Option<(&'static str, &'static str)>,
}

/// Reads every expected parameter of `folder` and converts it to `dtype`.
///
/// Files are read whole, one after another, so the peak is the model and its largest file.
///
/// # Errors
/// Missing, cut or foreign files; missing, unexpected or doubled tensors; a wrong shape; a stored
/// type that is no float; NaN or infinity in a weight.
pub(super) fn weights(
    folder: &Path,
    expected: &Expected,
    dtype: DType,
    device: &Device,
) -> Result<BTreeMap<String, Var>> {
    let mut params = BTreeMap::new();
    let mut unexpected = BTreeSet::new();
    let mut head_copy = None;
    for path in files(folder)? {
        let bytes = whole(&path)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| not_whole(&path, &bytes, &error))?;
        let mut wanted = Vec::new();
        for (name, view) in tensors.iter() {
            let tied_head = expected.tied.is_some_and(|(head, _)| head == name);
            let place = || format!("tensor `{name}` in {}", path.display());
            match expected.shapes.get(name) {
                _ if tied_head => {}
                None if expected.buffers.iter().any(|end| name.ends_with(end)) => continue,
                None => {
                    unexpected.insert(name.to_owned());
                    continue;
                }
                Some(shape) => ensure!(
                    view.shape() == shape,
                    "{} has shape {:?}, but its config.json asks for {shape:?}: weights and configuration are of different models",
                    place(),
                    view.shape()
                ),
            }
            wanted.push((name, tied_head, view));
        }
        let read: Vec<(&str, bool, Var)> = wanted
            .into_par_iter()
            .map(|(name, tied_head, view)| {
                let place = || format!("tensor `{name}` in {}", path.display());
                let stored = stored_type(view.dtype()).with_context(place)?;
                if let Some((index, value)) = first_non_finite(stored, view.data()) {
                    bail!(
                        "{} holds {value} at index {:?}: the model is damaged, take an earlier checkpoint",
                        place(),
                        unravel(index, view.shape())
                    )
                }
                Ok((name, tied_head, variable(view.data(), stored, view.shape(), dtype, device)?))
            })
            .collect::<Result<_>>()?;
        for (name, tied_head, var) in read {
            if tied_head {
                head_copy = Some(var.as_detached_tensor());
            } else if params.insert(name.to_owned(), var).is_some() {
                bail!(
                    "tensor `{name}` in {} was in an earlier file already: remove one of the two",
                    path.display()
                )
            }
        }
    }
    ensure!(
        unexpected.is_empty(),
        "{} holds tensors that its config.json has no place for: {}; is it another kind of model?",
        folder.display(),
        listed(&unexpected)
    );
    let missing = expected.shapes.keys().filter(|name| !params.contains_key(*name)).cloned().collect();
    ensure!(
        BTreeSet::is_empty(&missing),
        "{} lacks tensors that its config.json asks for: {}; is a file missing?",
        folder.display(),
        listed(&missing)
    );
    if let (Some(copy), Some((head, embedding))) = (head_copy, expected.tied) {
        let same = copy.dims() == params[embedding].dims()
            && super::bytes(&copy)? == super::bytes(&params[embedding])?;
        ensure!(
            same,
            "{} says `tie_word_embeddings`: true, but `{head}` differs from `{embedding}`: set it to false to keep both",
            folder.join(super::CONFIG).display()
        );
    }
    Ok(params)
}

/// The bytes of a file of weights.
fn whole(path: &Path) -> Result<Vec<u8>> {
    let context = || format!("cannot read {}", path.display());
    let found = std::fs::metadata(path).with_context(context)?;
    ensure!(found.is_file(), "{} is no regular file: download it again", path.display());
    if let Some(free) = memory::available() {
        ensure!(
            found.len() <= free,
            "{} has {}, and {} of memory are free: choose a smaller model, or a machine with more",
            path.display(),
            memory::text(found.len()),
            memory::text(free)
        );
    }
    debug!(file = %path.display(), bytes = found.len(), "weights");
    std::fs::read(path).with_context(context)
}

/// The weight files of a folder; those that an index names need not be there.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    if folder.join(WEIGHTS).is_file() {
        return Ok(vec![folder.join(WEIGHTS)]);
    }
    let path = folder.join(INDEX);
    if !path.is_file() {
        let torch = folder.join("pytorch_model.bin").is_file()
            || folder.join("pytorch_model.bin.index.json").is_file();
        ensure!(
            !torch,
            "{} holds only pickled weights (pytorch_model.bin), which are programs and not read; convert them once in Python: \
             AutoModelForCausalLM.from_pretrained(\"DIR\").save_pretrained(\"NEW\", safe_serialization=True)",
            folder.display()
        );
        bail!("{} holds neither {WEIGHTS} nor {INDEX}: is the download complete?", folder.display())
    }
    let text = files::read_text(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let index: Index = serde_json::from_str(&text)
        .with_context(|| format!("{} is no index of safetensors files", path.display()))?;
    let mut files = BTreeSet::new();
    for (tensor, file) in &index.weight_map {
        // Anything but a plain name could read outside the folder.
        ensure!(
            files::is_plain_name(file),
            "{} places `{tensor}` in {file:?}; only plain file names in the same folder are read: correct the index",
            path.display()
        );
        files.insert(folder.join(file));
    }
    ensure!(!files.is_empty(), "{} names no file: download it again", path.display());
    Ok(files.into_iter().collect())
}

fn not_whole(path: &Path, bytes: &[u8], error: &safetensors::SafeTensorError) -> anyhow::Error {
    let what = format!("{} ({} bytes)", path.display(), bytes.len());
    if bytes.starts_with(b"version https://git-lfs") {
        anyhow::anyhow!("{what} is a Git LFS pointer, not the weights: run `git lfs pull` in its folder")
    } else {
        anyhow::anyhow!(
            "{what} is not a whole safetensors file ({error}): it was cut or damaged, copy or download it again"
        )
    }
}

fn stored_type(found: Dtype) -> Result<DType> {
    Ok(match found {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        other => bail!(
            "stored as {other:?}; supported are F64, F32, F16 and BF16: choose weights that are not quantised"
        ),
    })
}

/// A parameter from the bytes of a file; where no conversion is needed, with a single copy.
fn variable(data: &[u8], stored: DType, shape: &[usize], dtype: DType, device: &Device) -> Result<Var> {
    if (stored, dtype) == (DType::F32, DType::F32) {
        let numbers = data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        return Ok(Var::from_vec(numbers.collect(), shape, device)?);
    }
    Ok(Var::from_tensor(&Tensor::from_raw_buffer(data, stored, shape, device)?.to_dtype(dtype)?)?)
}

/// Index and value of the first number that is NaN or infinite.
fn first_non_finite(dtype: DType, data: &[u8]) -> Option<(usize, f64)> {
    /// Numbers that are looked at together: without a way out among them, they are vector code.
    const BLOCK: usize = 256;
    fn first<const N: usize>(data: &[u8], decode: impl Fn([u8; N]) -> f64 + Sync) -> Option<(usize, f64)> {
        let (numbers, _) = data.as_chunks::<N>();
        let finite = |block: &[[u8; N]]| block.iter().fold(true, |all, x| all & decode(*x).is_finite());
        let block = numbers.par_chunks(BLOCK).with_min_len(64).position_first(|block| !finite(block))?;
        let from = block * BLOCK;
        let found = numbers[from..].iter().map(|bytes| decode(*bytes)).enumerate();
        found.map(|(i, value)| (from + i, value)).find(|(_, value)| !value.is_finite())
    }
    match dtype {
        DType::F64 => first(data, f64::from_le_bytes),
        DType::F16 => first(data, |b| half::f16::from_le_bytes(b).to_f64()),
        DType::BF16 => first(data, |b| half::bf16::from_le_bytes(b).to_f64()),
        _ => first(data, |b| f64::from(f32::from_le_bytes(b))),
    }
}

/// Row-major coordinates of a flat index.
fn unravel(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut place: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let here = index % size;
            index /= size;
            here
        })
        .collect();
    place.reverse();
    place
}

fn listed(names: &BTreeSet<String>) -> String {
    let mut text = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text += &format!(" and {} more", names.len() - LISTED);
    }
    text
}

//! MNIST's IDX files, read with every length checked.

use std::fs;
use std::path::Path;

/// Grey images of one size, with the digit that each shows.
pub struct Images {
    /// Rows and columns.
    pub size: (usize, usize),
    /// One image each: row-major, 0 (background) to 1.
    pub pixels: Vec<Vec<f64>>,
    /// One digit each, 0 to 9.
    pub digits: Vec<usize>,
}

/// The first `limit` images `NAME-images-idx3-ubyte` of a folder and their labels `NAME-labels-idx1-ubyte`, unpacked.
pub fn read(folder: &Path, name: &str, limit: usize) -> Result<Images, String> {
    let open = |file: String| {
        let path = folder.join(file);
        fs::read(&path).map_err(|e| format!("{}: {e} (are the files still packed?)", path.display()))
    };
    let images = open(format!("{name}-images-idx3-ubyte"))?;
    let labels = open(format!("{name}-labels-idx1-ubyte"))?;
    parse(&images, &labels, limit)
}

/// Images and labels from the bytes of the two files.
pub fn parse(images: &[u8], labels: &[u8], limit: usize) -> Result<Images, String> {
    let ([count, rows, columns], pixels) = header::<3>("images", images)?;
    let ([label_count], labels) = header::<1>("labels", labels)?;
    if count != label_count {
        return Err(format!("{count} images, but {label_count} labels"));
    }
    if rows == 0 || columns == 0 {
        return Err(format!("images of {rows}×{columns} pixels"));
    }
    let digits: Vec<usize> = labels.iter().take(limit).map(|&l| usize::from(l)).collect();
    if let Some(at) = digits.iter().position(|&digit| digit > 9) {
        return Err(format!("label {at} is {}; expected 0 to 9", digits[at]));
    }
    let grey = |image: &[u8]| image.iter().map(|&p| f64::from(p) / 255.0).collect();
    let pixels = pixels.chunks_exact(rows * columns).take(limit).map(grey).collect();
    Ok(Images { size: (rows, columns), pixels, digits })
}

/// The N dimensions that an IDX file of bytes declares, and its data, which is as long as they say.
fn header<'a, const N: usize>(what: &str, bytes: &'a [u8]) -> Result<([usize; N], &'a [u8]), String> {
    let magic = [0, 0, 8, N as u8];
    if bytes.len() < 4 + 4 * N || bytes[..4] != magic {
        let found = &bytes[..bytes.len().min(4)];
        return Err(format!(
            "the {what} begin with {found:?} in {} bytes; expected {magic:?} and {N} sizes",
            bytes.len()
        ));
    }
    let (sizes, data) = bytes[4..].split_at(4 * N);
    let mut dimensions = [0; N];
    for (dimension, size) in dimensions.iter_mut().zip(sizes.chunks_exact(4)) {
        *dimension = size.iter().fold(0, |n, &byte| n << 8 | usize::from(byte));
    }
    match dimensions.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)) {
        Some(expected) if expected == data.len() => Ok((dimensions, data)),
        _ => Err(format!("the {what} declare sizes {dimensions:?}, but {} bytes follow", data.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn file(sizes: &[u32], data: &[u8]) -> Vec<u8> {
        let magic = [0, 0, 8, sizes.len() as u8];
        magic
            .into_iter()
            .chain(sizes.iter().flat_map(|s| s.to_be_bytes()))
            .chain(data.iter().copied())
            .collect()
    }

    #[test]
    fn images_and_labels_are_read() {
        let images = parse(&file(&[2, 1, 2], &[0, 255, 51, 0]), &file(&[2], &[7, 1]), 10).unwrap();
        assert_eq!((images.size, images.digits), ((1, 2), vec![7, 1]));
        assert_eq!(images.pixels, [[0.0, 1.0], [0.2, 0.0]]);
        assert_eq!(parse(&file(&[2, 1, 1], &[0, 1]), &file(&[2], &[7, 1]), 1).unwrap().pixels.len(), 1);
    }

    #[test]
    fn files_that_are_not_what_they_say_are_refused() {
        let (images, labels) = (file(&[1, 1, 2], &[0, 255]), file(&[1], &[7]));
        for (images, labels, words) in [
            (&images[..images.len() - 1], &labels[..], "1 bytes follow"),
            (&images[..3], &labels, "begin with [0, 0, 8] in 3 bytes"),
            (&labels, &labels, "expected [0, 0, 8, 3]"),
            (&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0][..], &labels, "begin with [31, 139, 8, 0]"),
            (&images, &file(&[2], &[7, 1]), "1 images, but 2 labels"),
            (&images, &file(&[1], &[10]), "label 0 is 10"),
            (&file(&[1, 0, 2], &[]), &labels, "images of 0×2"),
            (&file(&[u32::MAX, u32::MAX, u32::MAX], &[]), &labels, "0 bytes follow"),
        ] {
            let error = parse(images, labels, 10).err().unwrap();
            assert!(error.contains(words), "{error}");
        }
    }
}

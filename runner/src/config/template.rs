//! The commented study file that `ldyn init` writes.

use anyhow::Result;
use std::path::Path;

const TEMPLATE: &str = include_str!("template.toml");

/// A study file with every common key and its default, for this model, data and output.
///
/// # Errors
/// A path that is not valid Unicode.
///
/// ```
/// use std::path::Path;
/// let text = ldyn::config::template(Path::new("pythia-410m"), Path::new("hh.jsonl"), Path::new("runs/hh")).unwrap();
/// let study = ldyn::config::parse(&text, &[]).unwrap();
/// assert_eq!(study.stages.len(), 2);
/// ```
pub fn template(model: &Path, data: &Path, output: &Path) -> Result<String> {
    let mut text = TEMPLATE.to_owned();
    for (name, path) in [("OUTPUT", output), ("MODEL", model), ("DATA", data)] {
        text = text.replace(&format!("= {name}\n"), &format!("= {}\n", toml::Value::try_from(path)?));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn what_it_shows_as_defaults_are_the_defaults() {
        let text = template(Path::new("m"), Path::new("d.jsonl"), Path::new("o")).unwrap();
        let written: Vec<&str> = text.lines().map(|line| shown(line).unwrap_or(line)).collect();
        assert!(text.lines().filter(|line| shown(line).is_some()).count() > 25);
        assert_eq!(parse(&written.join("\n"), &[]).unwrap(), parse(&text, &[]).unwrap());
    }

    /// What a line gives as a default.
    fn shown(line: &str) -> Option<&str> {
        let line = line.strip_prefix("# ")?;
        let (key, _) = line.split_once(" = ")?;
        key.chars().all(|c| c.is_ascii_lowercase() || c == '_').then_some(line)
    }

    #[test]
    fn paths_are_quoted_as_toml_needs() {
        let odd = Path::new("a \"b\"\\c");
        let text = template(odd, Path::new("d"), Path::new("o")).unwrap();
        assert_eq!(parse(&text, &[]).unwrap().model.path.as_deref(), Some(odd));
    }
}

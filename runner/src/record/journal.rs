//! The record files of a run, as it writes them.

use super::{ALARMS, ANSWERS, GAUGE, JsonlWriter, METRICS, PROBES};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes of each record file of a run, by its name.
pub type Lengths = BTreeMap<String, u64>;

/// Every name that a record file of a run may have.
const NAMES: [&str; 5] = [METRICS, PROBES, GAUGE, ANSWERS, ALARMS];

/// The files that rows are appended to.
pub struct Journal {
    /// Optimiser steps.
    pub metrics: JsonlWriter,
    /// Probe rows.
    pub probes: JsonlWriter,
    /// Predicted and measured changes, where they are compared.
    pub gauge: Option<JsonlWriter>,
    /// Answers and alarms, where the monitor is on.
    pub watch: Option<[JsonlWriter; 2]>,
}

impl Journal {
    /// Opens the files in the folder `run`, cut back to their `lengths`; one without a length must be new.
    ///
    /// # Errors
    /// A file that is there and has no length, that is shorter than its length, or that cannot be
    /// written to.
    pub fn open(run: &Path, [gauge, watch]: [bool; 2], lengths: &Lengths) -> Result<Self> {
        let open = |name: &str| {
            let path = run.join(name);
            match lengths.get(name) {
                Some(&length) => JsonlWriter::cut(&path, length),
                None => JsonlWriter::create(&path),
            }
        };
        Ok(Self {
            metrics: open(METRICS)?,
            probes: open(PROBES)?,
            gauge: if gauge { Some(open(GAUGE)?) } else { None },
            watch: if watch { Some([open(ANSWERS)?, open(ALARMS)?]) } else { None },
        })
    }

    /// Puts every row on the disk. Returns how long the files are.
    ///
    /// # Errors
    /// A failed write.
    pub fn sync(&mut self) -> Result<Lengths> {
        let fixed = [(METRICS, &mut self.metrics), (PROBES, &mut self.probes)];
        let gauge = self.gauge.iter_mut().map(|writer| (GAUGE, writer));
        let watch = self.watch.iter_mut().flat_map(|writers| [ANSWERS, ALARMS].into_iter().zip(writers));
        let all = fixed.into_iter().chain(gauge).chain(watch);
        all.map(|(name, writer)| Ok((name.to_owned(), writer.sync()?))).collect()
    }
}

/// The record files that are in the folder `run`, each at length 0.
pub fn emptied(run: &Path) -> Lengths {
    NAMES.iter().filter(|name| run.join(name).exists()).map(|name| ((*name).to_owned(), 0)).collect()
}

/// Checks that the record files of the folder `run` are as long as `lengths` at least, and have whole lines
/// up to there.
///
/// # Errors
/// The first file that is not, by name.
pub fn check_lengths(run: &Path, lengths: &Lengths) -> Result<()> {
    for (name, &length) in lengths.iter().filter(|(_, length)| **length > 0) {
        if !NAMES.contains(&name.as_str()) {
            bail!("{name:?} is no record file: a run has {}", NAMES.join(", "))
        }
        let path = run.join(name);
        let last = File::open(&path).and_then(|mut file| {
            let mut last = [0];
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last).map(|()| last[0])
        });
        match last {
            Ok(b'\n') => {}
            Ok(_) => bail!("{} has no end of a line at byte {length}", path.display()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                bail!("{} is shorter than the {length} bytes it once had", path.display())
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ProbeRow;

    #[test]
    fn a_journal_goes_on_from_where_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let row = |example| ProbeRow { example, ..ProbeRow::default() };
        let mut journal = Journal::open(run, [false, true], &Lengths::new()).unwrap();
        journal.probes.write(&row(1)).unwrap();
        let lengths = journal.sync().unwrap();
        journal.probes.write_all(&[row(2), row(3)]).unwrap();
        assert_eq!(lengths.keys().collect::<Vec<_>>(), [ALARMS, ANSWERS, METRICS, PROBES]);
        // Without lengths, files that are there are somebody's work.
        assert!(Journal::open(run, [false, true], &Lengths::new()).is_err());
        check_lengths(run, &lengths).unwrap();

        let mut journal = Journal::open(run, [false, true], &lengths).unwrap();
        journal.probes.write_all(&[row(4)]).unwrap();
        let rows: Vec<ProbeRow> = super::super::read_jsonl(&run.join(PROBES)).unwrap();
        assert_eq!(rows, [row(1), row(4)]);
        assert_eq!(emptied(run).len(), 4);
    }

    #[test]
    fn records_that_were_lost_or_torn_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(METRICS);
        let lengths = |length| Lengths::from([(METRICS.to_owned(), length)]);
        std::fs::write(&path, "{}\n{}\n").unwrap();
        let check = |length| check_lengths(folder.path(), &lengths(length)).map_err(|e| e.to_string());
        assert_eq!([check(0), check(3), check(6)], [Ok(()), Ok(()), Ok(())]);
        assert!(check(5).unwrap_err().contains("no end of a line at byte 5"));
        assert!(check(7).unwrap_err().contains("shorter than the 7 bytes"));
        let elsewhere = Lengths::from([("../metrics.jsonl".to_owned(), 1)]);
        assert!(check_lengths(folder.path(), &elsewhere).unwrap_err().to_string().contains("no record file"));
        assert!(JsonlWriter::cut(&path, 7).is_err());
    }
}

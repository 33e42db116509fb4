//! Replicas that went where the force field knows little, found again in the log.
//!
//! The log holds every expected error that was looked at, in a run that was interrupted as in one
//! that was not, so nothing about them is kept anywhere else.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use super::Outputs;
use crate::error::{Error, Result};
use crate::write::{Flag, LOG, log};

impl Outputs {
    /// The replicas whose expected error was above a limit in eV/Å at any line of the log that is
    /// on disk, in their order; lines without one count as below.
    pub fn flags(&self, limit_ev_per_ang: f64) -> Result<Vec<Flag>> {
        let path = self.folder.path().join(LOG);
        let failed = |source| Error::io("read", &path, &source);
        let slots = self.labels.iter().zip(0..);
        let slots: HashMap<&str, usize> = slots.map(|(l, slot)| (l.as_str(), slot)).collect();
        let mut flags: Vec<Option<Flag>> = vec![None; self.labels.len()];
        for line in BufReader::new(File::open(&path).map_err(failed)?).lines() {
            let line = line.map_err(failed)?;
            let Some(row) = log::Row::read(&line) else {
                continue;
            };
            let error = row.force_error_ev_per_ang.unwrap_or(0.0);
            let Some(&slot) = slots.get(row.label).filter(|_| error > limit_ev_per_ang) else {
                continue;
            };
            let flag = flags[slot].get_or_insert_with(|| Flag {
                replica: row.label.to_owned(),
                first_step: row.step,
                log_lines: 0,
                force_error_max_ev_per_ang: error,
            });
            flag.log_lines += 1;
            flag.force_error_max_ev_per_ang = flag.force_error_max_ev_per_ang.max(error);
        }
        Ok(flags.into_iter().flatten().collect())
    }
}

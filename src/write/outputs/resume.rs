//! Going on with the files of a run that stopped.
//!
//! A run that was ended without a word has written past its last checkpoint; all of that is cut
//! off, and will be written again. A file shorter than at the checkpoint cannot be made good here
//! and is refused before any other is touched.

use std::io;
use std::sync::Arc;

use super::{Offsets, Outputs, Settings, topologies};
use crate::error::{Error, Result};
use crate::replica::Replica;
use crate::system::System;
use crate::write::appended::Appended;
use crate::write::{Folder, dcd};

/// The outputs of a run that goes on, and what was cut off them.
#[derive(Debug)]
pub struct Resumed {
    /// The outputs, as they were at the checkpoint.
    pub outputs: Outputs,
    /// Files that were longer, and by how many bytes.
    pub cut: Vec<(String, u64)>,
}

impl Resumed {
    /// What was cut off, in a sentence; none if nothing was.
    pub fn message(&self) -> Option<String> {
        let (first, _) = self.cut.first()?;
        let bytes: u64 = self.cut.iter().map(|(_, bytes)| bytes).sum();
        Some(match self.cut.len() {
            1 => format!("{first} cut back to the checkpoint, by {bytes} bytes"),
            count => format!(
                "{count} files ({first}, …) cut back to the checkpoint, by {bytes} bytes in all"
            ),
        })
    }
}

impl Outputs {
    /// Outputs of a run that goes on from a checkpoint: every file is cut back to its offset.
    pub fn resume(
        folder: Arc<Folder>,
        settings: Settings,
        system: &System,
        replicas: &[Replica],
        offsets: &Offsets,
    ) -> Result<Resumed> {
        let outputs = Self::new(folder, settings, system, replicas, offsets)?;
        for file in outputs.files() {
            outputs.check_length(file)?;
        }
        let mut cut = Vec::new();
        for (file, replica) in outputs.dcd.iter().zip(replicas) {
            let axis = outputs.settings.axis(replica);
            if !file.is_empty() && axis.frames(file.len()).is_none() {
                return Err(Error::run(format!(
                    "the checkpoint ends {} within a frame",
                    file.name()
                )));
            }
            outputs.cut_back(file, Some(axis), &mut cut)?;
        }
        for file in outputs.extxyz.iter().chain([&outputs.log]) {
            outputs.cut_back(file, None, &mut cut)?;
        }
        outputs.write_topologies(&topologies(system))?;
        Ok(Resumed { outputs, cut })
    }

    /// Refuses a file that has lost what the checkpoint says was in it.
    fn check_length(&self, file: &Appended) -> Result<()> {
        let disk = self.folder.disk();
        let path = disk.path(file.name());
        let found = disk
            .len(file.name())
            .map_err(|source| Error::io("go on with", &path, &source))?;
        if found.unwrap_or(0) >= file.len() {
            return Ok(());
        }
        let state = found.map_or_else(
            || "is missing".to_owned(),
            |length| format!("has {length} bytes"),
        );
        Err(Error::run(format!(
            "{} {state}, but had {} at the checkpoint",
            path.display(),
            file.len()
        ))
        .hint("put the file back to resume, or start again with --overwrite"))
    }

    fn cut_back(
        &self,
        file: &Appended,
        axis: Option<dcd::Axis>,
        cut: &mut Vec<(String, u64)>,
    ) -> Result<()> {
        let disk = self.folder.disk();
        let failed = |source: io::Error| Error::io("cut back", &disk.path(file.name()), &source);
        let Some(found) = disk.len(file.name()).map_err(failed)? else {
            return Ok(());
        };
        let length = file.len();
        if found == length && length > 0 {
            return Ok(());
        }
        let done = if length == 0 {
            disk.remove(file.name())
        } else {
            // The header goes first: if this is the last thing that happens, the file is still
            // too long, and will be cut by the next to come.
            let counters = axis.and_then(|axis| Some(axis.counters(axis.frames(length)?)));
            counters
                .map_or(Ok(()), |counters| {
                    disk.write_at(file.name(), &[(dcd::COUNTERS_AT, &counters)])
                })
                .and_then(|()| disk.truncate(file.name(), length))
        };
        done.map_err(failed)?;
        cut.push((file.name().to_owned(), found - length));
        Ok(())
    }
}

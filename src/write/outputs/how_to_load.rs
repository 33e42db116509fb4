//! What a run tells its user at the end: where the files are, and the line that opens one.

use super::Outputs;
use crate::write::{LOG, SUMMARY};

impl Outputs {
    /// What was written and how to load it, in lines for a terminal.
    pub fn how_to_load(&self) -> String {
        let folder = self.folder.path().display();
        let mut lines = Vec::new();
        for (what, files) in [("DCD", &self.dcd), ("extended XYZ", &self.extxyz)] {
            let count = files.iter().filter(|file| !file.is_empty()).count();
            if count > 0 {
                let plural = if count == 1 { "y" } else { "ies" };
                lines.push(format!("{count} trajector{plural} as {what}"));
            }
        }
        lines.push(LOG.to_owned());
        lines.push(SUMMARY.to_owned());
        let mut text = format!("wrote {folder}: {}", lines.join(", "));
        if let Some(index) = self.dcd.iter().position(|file| !file.is_empty()) {
            let topology = &self.topologies[self.molecules[index] as usize];
            let name = self.dcd[index].name();
            text.push_str("\nload one with MDAnalysis or mdtraj:");
            text = format!(
                "{text}\n  MDAnalysis.Universe(\"{folder}/{topology}\", \"{folder}/{name}\")"
            );
            text =
                format!("{text}\n  mdtraj.load(\"{folder}/{name}\", top=\"{folder}/{topology}\")");
        }
        if let Some(file) = self.extxyz.iter().find(|file| !file.is_empty()) {
            text.push_str("\nload one with ASE:");
            text = format!("{text}\n  ase.io.read(\"{folder}/{}\", \":\")", file.name());
        }
        text
    }

    /// Says it, on stderr: stdout is for data.
    pub fn say_how_to_load(&self) {
        crate::say!("{}", self.how_to_load());
    }
}

//! The program as a user runs it: campaigns from their config to their files.

mod batch;
mod commands;
mod devices;
mod faults;
mod inputs;
mod resume;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A folder with structures and configs of its own.
struct Scene {
    folder: tempfile::TempDir,
}

const WATER: &str = "3\nwater\nO 0 0 0\nH 0.757 0.586 0\nH -0.757 0.586 0\n";
const METHANE: &str = "5\nmethane\nC 0 0 0\nH 0.629 0.629 0.629\nH -0.629 -0.629 0.629\n\
                       H -0.629 0.629 -0.629\nH 0.629 -0.629 -0.629\n";

impl Scene {
    fn new() -> Self {
        let scene = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        scene.write("water.xyz", WATER);
        scene.write("methane.xyz", METHANE);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The program in this folder, with these words; `MDRUN_TEST_PROGRAM` is where it is on a machine without cargo.
    fn command(&self, words: &[&str]) -> Command {
        let program = std::env::var_os("MDRUN_TEST_PROGRAM");
        let mut command = Command::new(program.unwrap_or(env!("CARGO_BIN_EXE_mdrun").into()));
        command.current_dir(self.folder.path()).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs and expects this exit code; what was said on standard error.
    fn expect(&self, code: i32, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?} said:\n{said}");
        said
    }

    fn start(&self, words: &[&str]) -> Child {
        self.command(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Everything in an output folder that must not depend on how the run went: all but the summary,
    /// the lock, and the checkpoint before the last.
    fn results(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        results(&self.path(folder))
    }
}

fn results(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let depends = |name: &str| {
        name.starts_with('.') || name == "summary.json" || name == "checkpoint.previous.mdrun"
    };
    names
        .filter(|name| !depends(name))
        .map(|name| (name.clone(), std::fs::read(folder.join(&name)).unwrap()))
        .collect()
}

/// Says which files differ, not how: they are long.
#[track_caller]
fn assert_same(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>) {
    let names: Vec<_> = a.keys().collect();
    assert_eq!(names, b.keys().collect::<Vec<_>>());
    let differing: Vec<_> = names
        .into_iter()
        .filter(|name| a[*name] != b[*name])
        .collect();
    assert!(differing.is_empty(), "{differing:?} differ");
}

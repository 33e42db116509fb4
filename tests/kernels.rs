//! Are the compiled kernels those of the sources, and is `kernels/README.md` true of them?

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

fn kernels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels")
}

fn manifest() -> Value {
    let text = std::fs::read_to_string(kernels().join("compiled/manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn sha256(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn names_in(folder: &Path, extensions: &[&str]) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let wanted = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| extensions.contains(&extension))
    };
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.filter(wanted).map(name).collect()
}

#[test]
fn compiled_kernels_are_those_of_the_sources() {
    let manifest = manifest();
    for (list, folder, extensions) in [
        ("made_from", kernels(), &["cu", "cuh", "py"][..]),
        ("files", kernels().join("compiled"), &["z"][..]),
    ] {
        let hashes = manifest[list].as_object().unwrap();
        let listed: BTreeSet<String> = hashes.keys().cloned().collect();
        assert_eq!(
            names_in(&folder, extensions),
            listed,
            "run python kernels/build.py"
        );
        for (name, hash) in hashes {
            let found = sha256(&folder.join(name));
            assert_eq!(
                hash, &found,
                "{name} has changed: run python kernels/build.py"
            );
        }
    }
}

/// A row of the table is `| kernel | file | … | registers | spilt bytes |`, figures for `sm_90a`, the
/// last two columns once for each set of sizes.
#[test]
fn the_table_of_kernels_has_every_kernel_and_its_registers() {
    let readme = std::fs::read_to_string(kernels().join("README.md")).unwrap();
    let manifest = manifest();
    let sets = manifest["kernels"].as_object().unwrap();
    let reports = |name: &str| -> String {
        let of_set = |by_gpu: &Value| {
            let report = &by_gpu["sm_90a"][name];
            format!("| {} | {} ", report["registers"], report["spilt_bytes"])
        };
        sets.values().map(of_set).collect()
    };
    for by_gpu in sets.values() {
        for name in by_gpu["sm_90a"].as_object().unwrap().keys() {
            let start = format!("| `{name}` | ");
            let row = readme.lines().find(|line| line.starts_with(&start));
            let row = row.unwrap_or_else(|| panic!("no row for {name}"));
            let end = format!("{}|", reports(name));
            assert!(row.ends_with(&end), "the row of {name} must end with {end}");
        }
    }
    // Every file that the table names is there.
    let paths = readme
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains(".cu"));
    for path in paths {
        assert!(kernels().join(path).exists(), "{path}");
    }
}

//! The ensembles of real runs of the real student, judged by the `physical_validation` library, and
//! runs that are wrong on purpose, which it must reject.

use std::path::Path;
use std::process::Command;

/// The Python with the library in it, as tests/all.sh sets it up.
fn python() -> Option<String> {
    let python = std::env::var("MDRUN_TEST_PYTHON").ok();
    if python.is_none() {
        println!("SKIPPED: MDRUN_TEST_PYTHON names no Python with physical_validation");
    }
    python
}

/// Whether the check says yes.
fn check(python: &str, words: &[&str]) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/check_ensembles.py");
    let output = Command::new(python)
        .arg(script)
        .args(words)
        .output()
        .unwrap();
    println!(
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stdout).trim()
    );
    let code = output.status.code();
    assert!(
        matches!(code, Some(0 | 1)),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    code == Some(0)
}

/// Runs water and returns the path of its log.
fn water(folder: &Path, name: &str, config: &str) -> String {
    let config = format!(
        "seed = 20\n{config}\n[[molecule]]\nstructure = \"{}\"\nreplicas = 64\n",
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("inputs/mixed/water.xyz")
            .display()
    );
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mdrun"))
        .current_dir(folder)
        .args([path.to_str().unwrap(), "--out", name])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    folder
        .join(name)
        .join("log.csv")
        .to_str()
        .unwrap()
        .to_owned()
}

/// A line of the log every 5/γ = 25 fs: see `tests/python/check_ensembles.py`.
fn langevin(temperature_k: f64) -> String {
    format!(
        "[run]\nsteps = 8000\ntimestep_fs = 0.5\n[dynamics]\nscheme = \"langevin\"\n\
         temperature_K = {temperature_k}\nfriction_per_ps = 200\n\
         [output]\ndcd = false\nlog_every = 50\n[minimize]"
    )
}

#[test]
fn langevin_samples_the_canonical_ensemble() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cold = water(folder.path(), "cold", &langevin(300.0));
    let hot = water(folder.path(), "hot", &langevin(500.0));
    assert!(check(&python, &["kinetic", &cold, "3", "300"]));
    assert!(check(&python, &["kinetic", &hot, "3", "500"]));
    assert!(check(
        &python,
        &["ensemble", &cold, &hot, "3", "300", "500"]
    ));
    // Wrong on purpose: another temperature, another number of atoms, a bath that heeds nobody.
    assert!(!check(&python, &["kinetic", &cold, "3", "310"]));
    assert!(!check(&python, &["kinetic", &cold, "4", "300"]));
    assert!(!check(
        &python,
        &["ensemble", &cold, &cold, "3", "300", "500"]
    ));
}

#[test]
fn verlet_conserves_energy_to_the_square_of_the_time_step() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut runs = Vec::new();
    for timestep_fs in [1.0, 0.5, 0.25] {
        let config = format!(
            "[run]\nsteps = {}\ntimestep_fs = {timestep_fs}\n[dynamics]\nscheme = \"nve\"\n\
             temperature_K = 300\n[output]\ndcd = false\nlog_every = {}\n[minimize]",
            500.0 / timestep_fs,
            5.0 / timestep_fs
        );
        let log = water(folder.path(), &format!("nve{timestep_fs}"), &config);
        runs.push(format!("{timestep_fs}={log}"));
    }
    let runs: Vec<&str> = runs.iter().map(String::as_str).collect();
    assert!(check(
        &python,
        &["convergence", "3", runs[0], runs[1], runs[2]]
    ));
    // Wrong on purpose: a log that claims a time step that was not its own.
    let liar = runs[2].replace("0.25=", "0.3=");
    assert!(!check(&python, &["convergence", "3", runs[0], &liar]));
}

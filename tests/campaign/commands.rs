//! The commands beside running a campaign.

use crate::{METHANE, Scene, WATER};

#[test]
fn eval_writes_one_frame_for_each_in_the_same_order() {
    let scene = Scene::new();
    scene.write("frames.xyz", &[WATER, METHANE, WATER].concat());
    scene.expect(
        0,
        &["eval", "frames.xyz", "methane.xyz", "-o", "out.extxyz"],
    );
    let text = std::fs::read_to_string(scene.path("out.extxyz")).unwrap();
    let counts: Vec<_> = text
        .lines()
        .filter(|line| line.trim().parse::<usize>().is_ok())
        .collect();
    assert_eq!(counts, ["3", "5", "3", "5"]);
    let energies: Vec<f64> = text
        .lines()
        .filter_map(|line| {
            line.split("energy=")
                .nth(1)?
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    assert_eq!(energies.len(), 4);
    assert_eq!(energies[0].to_bits(), energies[2].to_bits());
    // Absolute energies: the electronic energy of water is near −76.4 hartree in any good theory,
    // that of methane near −40.5; 0.2 hartree covers all of them.
    assert!(
        (energies[0] + 76.4 * 27.2114).abs() < 0.2 * 27.2114,
        "{energies:?}"
    );
    assert!(
        (energies[1] + 40.5 * 27.2114).abs() < 0.2 * 27.2114,
        "{energies:?}"
    );
}

/// The nine vibrations of methane are of symmetry E and T₂ (bends), A₁ and T₂ (stretches): twofold,
/// threefold, once, threefold. The network has the molecule's symmetry, so they must be degenerate to
/// the accuracy of the minimum and of the differences, whatever its weights.
#[test]
fn minimize_then_modes_gives_the_vibrations_of_methane() {
    let scene = Scene::new();
    scene.expect(0, &["minimize", "methane.xyz", "-o", "relaxed.extxyz"]);
    let output = scene.run(&["modes", "relaxed.extxyz", "--json", "-o", "modes.xyz"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let wavenumbers = value["wavenumbers_per_cm"].as_array().unwrap();
    let found: Vec<f64> = wavenumbers
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect();
    assert_eq!(found.len(), 9);
    // Which of the bends is the lower one depends on the weights.
    let lower = if found[2] - found[1] < 0.05 { 3 } else { 2 };
    for set in [&found[..lower], &found[lower..5], &found[6..9]] {
        assert!(set[set.len() - 1] - set[0] < 0.05, "{found:?}");
    }
    // How accurate they are is the model card's business; these are bends and stretches of C–H.
    assert!(found[0] > 1000.0 && found[4] < 2000.0 && found[5] > 2500.0 && found[8] < 3500.0);
    let frames = std::fs::read_to_string(scene.path("modes.xyz")).unwrap();
    assert_eq!(frames.lines().count(), 9 * 20 * 7);
}

#[test]
fn validate_passes_on_methane() {
    let scene = Scene::new();
    let output = scene.run(&["validate", "methane.xyz"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.contains("FAIL"), "{text}");
    assert!(text.matches("PASS").count() >= 10, "{text}");
}

#[test]
fn the_small_commands_answer() {
    let scene = Scene::new();
    let init = scene.run(&["init"]);
    assert!(
        String::from_utf8(init.stdout)
            .unwrap()
            .contains("[[molecule]]")
    );
    let schema = scene.run(&["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert!(schema["properties"]["run"].is_object());
    let info = String::from_utf8(scene.run(&["info"]).stdout).unwrap();
    assert!(
        info.contains("AIMNet2") && info.contains("elements"),
        "{info}"
    );
    for shell in ["bash", "zsh", "fish"] {
        assert!(scene.run(&["completions", shell]).stdout.len() > 1000);
    }
    let bench = scene.run(&[
        "bench",
        "water.xyz",
        "--replicas",
        "1,4",
        "--seconds",
        "0.2",
        "--json",
    ]);
    let bench: serde_json::Value = serde_json::from_slice(&bench.stdout).unwrap();
    assert!(bench[1]["molecule_steps_per_s"].as_f64().unwrap() > 0.0);
    for seconds in ["0", "nan", "inf"] {
        let refused = scene.run(&["bench", "water.xyz", "--seconds", seconds]);
        assert_eq!(refused.status.code(), Some(2), "{seconds}");
    }
}

#[test]
fn check_says_what_would_run_and_writes_nothing() {
    let scene = Scene::new();
    scene.write(
        "config.toml",
        "[run]\nsteps = 1000\n[[molecule]]\nstructure = \"water.xyz\"\n",
    );
    let output = scene.run(&["check", "config.toml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for part in ["water: 3 atoms, 1 replica", "time", "memory", "disk"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!scene.path("config.out").exists() && !scene.path("config").exists());
}

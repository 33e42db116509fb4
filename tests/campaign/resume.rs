//! A run that was interrupted, any number of times and in any way, leaves the bytes of one that was
//! not.

use std::time::Duration;

use crate::{Scene, assert_same};

pub const CONFIG: &str = r#"
seed = 4
[run]
steps = 6000
[dynamics]
temperature_K = 300
friction_per_ps = 5
[[molecule]]
structure = "water.xyz"
replicas = 3
temperature_K = [300, 500]
[[molecule]]
structure = "methane.xyz"
replicas = 2
[output]
frames_every = 30
log_every = 7
xyz = true
[checkpoint]
every_minutes = 0.005
"#;

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("config.toml", CONFIG);
    scene.expect(0, &["config.toml", "--out", "whole"]);
    scene
}

#[test]
fn after_any_signal_at_any_moment() {
    let scene = scene();
    let mut killed = 0;
    for round in 0..200_u64 {
        let mut child = scene.start(&["config.toml", "--out", "parts", "--resume"]);
        // Moments that have nothing to do with steps, from before the first frame on.
        std::thread::sleep(Duration::from_millis(60 + 37 * (round * 7 % 11)));
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(0));
            break;
        }
        killed += 1;
        let signals = ["-KILL", "-TERM", "-INT", "-KILL", "-USR1"];
        let signal = signals[round as usize % signals.len()];
        let pid = child.id().to_string();
        std::process::Command::new("kill")
            .args([signal, &pid])
            .status()
            .unwrap();
        // Finished just then, killed (or its traps not set yet), or stopped in good order.
        let code = child.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 75) | None), "{signal}: {code:?}");
    }
    assert!(killed >= 2, "the run was too short to be interrupted");
    scene.expect(0, &["config.toml", "--out", "parts", "--resume"]);
    assert_same(&scene.results("whole"), &scene.results("parts"));
}

#[test]
fn after_the_walltime_with_a_code_of_its_own() {
    let scene = scene();
    let said = scene.expect(
        75,
        &["config.toml", "--out", "parts", "--max-walltime", "1s"],
    );
    assert!(said.contains("--resume"), "{said}");
    scene.expect(0, &["config.toml", "--out", "parts", "--resume"]);
    assert_same(&scene.results("whole"), &scene.results("parts"));
}

#[test]
fn in_stages_of_steps() {
    let scene = scene();
    for steps in ["17", "1000", "6000"] {
        scene.expect(
            0,
            &[
                "config.toml",
                "--out",
                "parts",
                "--resume",
                "--steps",
                steps,
            ],
        );
    }
    assert_same(&scene.results("whole"), &scene.results("parts"));
    // There is nothing left to do: it ends as it did, and changes nothing.
    scene.expect(0, &["config.toml", "--out", "parts", "--resume"]);
    assert_same(&scene.results("whole"), &scene.results("parts"));
}

#[test]
fn a_changed_config_is_refused_with_the_difference() {
    let scene = scene();
    scene.write(
        "config.toml",
        &CONFIG.replace("friction_per_ps = 5", "friction_per_ps = 6"),
    );
    let said = scene.expect(2, &["config.toml", "--out", "whole", "--resume"]);
    assert!(
        said.contains("friction_per_ps") && said.contains("5 -> 6"),
        "{said}"
    );
    scene.write(
        "config.toml",
        &CONFIG.replace("0.005", "3").replace("6000", "6010"),
    );
    scene.expect(0, &["config.toml", "--out", "whole", "--resume"]);
}

#[test]
fn a_seed_that_was_drawn_is_kept() {
    let scene = Scene::new();
    scene.write("config.toml", &CONFIG.replace("seed = 4", ""));
    let said = scene.expect(0, &["config.toml", "--out", "parts", "--steps", "100"]);
    let seed = said.split_whitespace().nth(1).unwrap().to_owned();
    scene.expect(
        0,
        &[
            "config.toml",
            "--out",
            "parts",
            "--steps",
            "300",
            "--resume",
        ],
    );
    scene.write(
        "config.toml",
        &CONFIG.replace("seed = 4", &format!("seed = {seed}")),
    );
    scene.expect(0, &["config.toml", "--out", "whole", "--steps", "300"]);
    assert_same(&scene.results("whole"), &scene.results("parts"));
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let scene = scene();
    scene.expect(0, &["config.toml", "--out", "parts", "--steps", "1000"]);
    scene.expect(
        0,
        &[
            "config.toml",
            "--out",
            "parts",
            "--steps",
            "2000",
            "--resume",
        ],
    );
    let path = scene.path("parts/checkpoint.mdrun");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let said = scene.expect(0, &["config.toml", "--out", "parts", "--resume"]);
    assert!(said.contains("warning"), "{said}");
    let mut results = scene.results("parts");
    results.remove("checkpoint.damaged.mdrun");
    assert_same(&scene.results("whole"), &results);
}

//! `mdrun verify` tells whole output folders from damaged ones.

use std::fs;

use crate::{METHANE, Scene};

const CONFIG: &str = r#"
seed = 1
[run]
steps = 60
[[molecule]]
structure = "methane.xyz"
replicas = 2
[[molecule]]
structure = "water.xyz"
[output]
frames_every = 20
log_every = 15
xyz = true
"#;

/// Runs the command: its exit code, and the lines that begin with FAIL.
fn verified(scene: &Scene, folder: &str) -> (Option<i32>, Vec<String>) {
    let output = scene.run(&["verify", folder]);
    let told = String::from_utf8(output.stdout).unwrap();
    let failed = told.lines().filter(|line| line.starts_with("FAIL"));
    (output.status.code(), failed.map(str::to_owned).collect())
}

#[test]
fn a_whole_folder_passes_finished_stopped_or_with_frozen_replicas() {
    let scene = Scene::new();
    scene.write("config.toml", CONFIG);
    scene.expect(0, &["config.toml", "--out", "finished"]);
    assert_eq!(verified(&scene, "finished"), (Some(0), vec![]));
    scene.expect(
        0,
        &[
            "config.toml",
            "--out",
            "finished",
            "--steps",
            "70",
            "--resume",
        ],
    );
    assert_eq!(verified(&scene, "finished"), (Some(0), vec![]));

    let words = [
        "config.toml",
        "--out",
        "stopped",
        "--steps",
        "9000000",
        "--max-walltime",
        "1s",
    ];
    scene.expect(75, &words);
    assert_eq!(verified(&scene, "stopped"), (Some(0), vec![]));

    let hot = CONFIG.to_owned() + "[limits]\ntemperature_K = 400\n";
    scene.write("hot.toml", &hot);
    scene.expect(3, &["hot.toml", "--out", "hot", "--steps", "3000"]);
    assert_eq!(verified(&scene, "hot"), (Some(0), vec![]));
}

#[test]
fn every_damage_is_found_in_its_file() {
    let scene = Scene::new();
    scene.write("config.toml", CONFIG);
    scene.expect(0, &["config.toml", "--out", "out"]);
    let path = |name: &str| scene.path("out").join(name);
    let names = [
        "methane-T0-0000.dcd",
        "methane-T0-0001.xyz",
        "log.csv",
        "methane.pdb",
        "summary.json",
        "checkpoint.previous.mdrun",
    ];
    for name in names {
        let whole = fs::read(path(name)).unwrap();
        let cut = whole[..whole.len() - 5].to_vec();
        let mut bent = whole.clone();
        // A word of a trajectory begins at a multiple of four.
        let middle = whole.len() / 8 * 4;
        bent[middle..middle + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        for damaged in [cut, bent] {
            // A topology is looked at from its end only.
            if name == "methane.pdb" && damaged.len() == whole.len() {
                continue;
            }
            fs::write(path(name), &damaged).unwrap();
            let (code, failed) = verified(&scene, "out");
            assert_eq!((code, failed.len()), (Some(1), 1), "{name}: {failed:?}");
            assert!(failed[0].contains(name), "{failed:?}");
        }
        fs::remove_file(path(name)).unwrap();
        let optional = ["summary.json", "checkpoint.previous.mdrun"].contains(&name);
        assert_eq!(
            verified(&scene, "out").0,
            Some(i32::from(!optional)),
            "{name}"
        );
        fs::write(path(name), &whole).unwrap();
    }
    // What was written since the last checkpoint is no fault.
    let name = path("methane-T0-0000.dcd");
    let whole = fs::read(&name).unwrap();
    fs::write(&name, [&whole[..], b"more"].concat()).unwrap();
    assert_eq!(verified(&scene, "out"), (Some(0), vec![]));
    // Frames of another run of the same length.
    scene.write("config.toml", &CONFIG.replace("seed = 1", "seed = 2"));
    scene.expect(0, &["config.toml", "--out", "other"]);
    let other = fs::read(scene.path("other").join("methane-T0-0000.dcd")).unwrap();
    assert_eq!(other.len(), whole.len());
    fs::write(&name, other).unwrap();
    assert_eq!(verified(&scene, "out").0, Some(1));
}

#[test]
fn what_is_no_output_folder_is_refused() {
    let scene = Scene::new();
    fs::create_dir(scene.path("empty")).unwrap();
    fs::write(scene.path("empty").join("methane.xyz"), METHANE).unwrap();
    let said = scene.expect(2, &["verify", "empty"]);
    assert!(said.contains("is no output folder of a run"), "{said}");
    scene.expect(2, &["verify", "not-there"]);
}

//! What goes wrong stays where it is, and is said once, with the way out.

use crate::{METHANE, Scene, assert_same};

const CONFIG: &str = r#"
seed = 1
[run]
steps = 300
[[molecule]]
structure = "starts.xyz"
replicas = 6
[output]
frames_every = 20
"#;

/// Methane with two hydrogen atoms pressed together: allowed, but it flies apart at once.
const PRESSED: &str = "5\npressed\nC 0 0 0\nH 0.629 0.629 0.629\nH 0.7 0.629 0.08\n\
                       H -0.629 0.629 -0.629\nH 0.629 -0.629 -0.629\n";

#[test]
fn an_exploding_replica_is_frozen_and_disturbs_nobody() {
    let scene = Scene::new();
    scene.write("config.toml", CONFIG);
    scene.write("starts.xyz", &METHANE.repeat(6));
    scene.expect(0, &["config.toml", "--out", "good"]);
    let starts = [METHANE.repeat(4), PRESSED.to_owned(), METHANE.to_owned()].concat();
    scene.write("starts.xyz", &starts);
    let said = scene.expect(3, &["config.toml", "--out", "bad"]);
    assert!(said.contains("failed: starts-T0-4 after step"), "{said}");

    let (mut good, mut bad) = (scene.results("good"), scene.results("bad"));
    let keep = |name: &String| name.contains("-T0-") && name != "starts-T0-4.dcd";
    good.retain(|name, _| keep(name));
    bad.retain(|name, _| keep(name));
    assert_eq!(good.len(), 5);
    assert_same(&good, &bad);

    let summary = std::fs::read_to_string(scene.path("bad/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["failed"], 1);
    assert_eq!(summary["failures"][0]["replica"], "starts-T0-4");
    let log = std::fs::read_to_string(scene.path("bad/log.csv")).unwrap();
    assert!(!log.contains("NaN") && !log.contains("inf"));
    // A finished run with a fault ends the same way again.
    scene.expect(3, &["config.toml", "--out", "bad", "--resume"]);
}

/// The end of a run whose replicas all failed is not where the clock happened to look.
#[test]
fn the_end_of_everybody_does_not_depend_on_interruptions() {
    let scene = Scene::new();
    scene.write("starts.xyz", METHANE);
    // A limit that every replica passes sooner or later: χ² of 15 degrees of freedom is above 25
    // with a probability of 0.05.
    let config = CONFIG
        .replace("every = 20", "every = 150")
        .replace("steps = 300", "steps = 3000000");
    let config = format!(
        "{config}[limits]
temperature_K = 500
"
    );
    scene.write("config.toml", &config);
    scene.expect(3, &["config.toml", "--out", "whole"]);
    scene.expect(
        75,
        &["config.toml", "--out", "parts", "--max-walltime", "1s"],
    );
    scene.expect(3, &["config.toml", "--out", "parts", "--resume"]);
    assert_same(&scene.results("whole"), &scene.results("parts"));
}

#[test]
fn folders_are_not_shared_nor_overwritten_by_accident() {
    let scene = Scene::new();
    scene.write("starts.xyz", METHANE);
    scene.write("config.toml", &CONFIG.replace("300", "100000000"));
    let mut running = scene.start(&["config.toml", "--out", "out"]);
    while !scene.path("out/log.csv").exists() && !scene.path("out/starts.pdb").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let said = scene.expect(2, &["config.toml", "--out", "out", "--resume"]);
    assert!(said.contains("in use by pid"), "{said}");
    running.kill().unwrap();
    running.wait().unwrap();

    let said = scene.expect(2, &["config.toml", "--out", "out", "--steps", "1"]);
    for way_out in ["--resume", "--overwrite", "--out"] {
        assert!(said.contains(way_out), "{said}");
    }
    scene.write("out/notes.txt", "mine");
    scene.expect(
        0,
        &["config.toml", "--out", "out", "--steps", "1", "--overwrite"],
    );
    assert_eq!(
        std::fs::read_to_string(scene.path("out/notes.txt")).unwrap(),
        "mine"
    );
}

#[test]
fn bad_input_ends_with_file_and_line_before_anything_is_written() {
    let scene = Scene::new();
    scene.write("config.toml", &CONFIG.replace("steps = 300", "stepz = 300"));
    let said = scene.expect(2, &["config.toml", "--out", "out"]);
    assert!(
        said.contains("config.toml:4") && said.contains("`steps`"),
        "{said}"
    );
    scene.write("config.toml", CONFIG);
    scene.write("starts.xyz", "1\ngold\nAu 0 0 0\n");
    let said = scene.expect(2, &["config.toml", "--out", "out"]);
    assert!(
        said.contains("Au") && said.contains("starts.xyz:3"),
        "{said}"
    );
    scene.write("starts.xyz", "2\nclose\nH 0 0 0\nH 0 0 0.1\n");
    let said = scene.expect(2, &["config.toml", "--out", "out"]);
    assert!(said.contains("starts.xyz"), "{said}");
    let said = scene.expect(2, &["nowhere.toml"]);
    assert!(said.contains("nowhere.toml"), "{said}");
    let said = scene.expect(2, &["config.toml", "--device", "gpu"]);
    assert!(said.contains("cuda"), "{said}");
    assert!(!scene.path("out").exists());
}

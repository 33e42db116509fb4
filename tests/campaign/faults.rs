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

/// Methane with two hydrogen atoms pressed together: allowed, but 6 eV above its minimum, which heats nine vibrations to
/// some thousand kelvin at once.
const PRESSED: &str = "5\npressed\nC 0 0 0\nH 0.629 0.629 0.629\nH 0.7 0.629 0.08\n\
                       H -0.629 0.629 -0.629\nH 0.629 -0.629 -0.629\n";

#[test]
fn an_exploding_replica_is_frozen_and_disturbs_nobody() {
    let scene = Scene::new();
    // At 300 K χ² of 15 degrees of freedom passes 100 with a probability of 10⁻¹⁴.
    let config = format!("{CONFIG}[limits]\ntemperature_K = 2000\n");
    scene.write("config.toml", &config);
    scene.write("starts.xyz", &METHANE.repeat(6));
    scene.expect(0, &["config.toml", "--out", "good"]);
    let starts = [METHANE.repeat(4), PRESSED.to_owned(), METHANE.to_owned()].concat();
    scene.write("starts.xyz", &starts);
    let said = scene.expect(3, &["config.toml", "--out", "bad"]);
    assert!(said.contains("failed: starts-T0-0004 after step"), "{said}");

    let (mut good, mut bad) = (scene.results("good"), scene.results("bad"));
    let keep = |name: &String| name.contains("-T0-") && name != "starts-T0-0004.dcd";
    good.retain(|name, _| keep(name));
    bad.retain(|name, _| keep(name));
    assert_eq!(good.len(), 5);
    assert_same(&good, &bad);

    let summary = std::fs::read_to_string(scene.path("bad/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["failed"], 1);
    assert_eq!(summary["failures"][0]["replica"], "starts-T0-0004");
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

/// A student that knows its own error: random weights, which expect about one eV/Å everywhere.
const UNSURE: &str = r#"
seed = 1
[run]
steps = 40
timestep_fs = 0.01
[[molecule]]
structure = "methane.xyz"
replicas = 2
[output]
log_every = 8
[model]
path = "tiny.safetensors"
"#;

#[test]
fn replicas_whose_forces_are_expected_to_be_far_off_are_flagged_and_go_on() {
    let scene = Scene::new();
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny.safetensors");
    std::fs::copy(tiny, scene.path("tiny.safetensors")).unwrap();
    let limited = |limit: &str| format!("{UNSURE}[limits]\nforce_error_eV_per_ang = {limit}\n");
    scene.write("low.toml", &limited("1e-6"));
    scene.write("high.toml", &limited("1e3"));

    let said = scene.expect(0, &["low.toml", "--out", "whole"]);
    assert!(
        said.contains("flagged: methane-T0-0001 from step 0"),
        "{said}"
    );
    let log = std::fs::read_to_string(scene.path("whole/log.csv")).unwrap();
    let last_column = |line: &str| line.rsplit(',').next().unwrap().to_owned();
    let column: Vec<_> = log.lines().map(last_column).collect();
    assert_eq!(column[0], "force_error_eV_per_ang");
    let largest = column[1..]
        .iter()
        .map(|error| error.parse::<f64>().unwrap());
    let largest = largest.fold(0.0, f64::max);

    // Flags are of the whole run, however often it was interrupted and whatever its limit was then.
    scene.expect(0, &["high.toml", "--out", "parts", "--steps", "16"]);
    scene.expect(0, &["low.toml", "--out", "parts", "--resume"]);
    assert_same(&scene.results("whole"), &scene.results("parts"));
    for folder in ["whole", "parts"] {
        let summary = scene.path(folder).join("summary.json");
        let summary = std::fs::read_to_string(summary).unwrap();
        let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
        assert_eq!(summary["failed"], 0);
        let flags = summary["flags"].as_array().unwrap();
        assert_eq!(flags.len(), 2);
        assert!(
            flags
                .iter()
                .all(|f| f["first_step"] == 0 && f["log_lines"] == 6)
        );
        let largest_flag = flags
            .iter()
            .map(|f| f["force_error_max_ev_per_ang"].as_f64());
        let largest_flag = largest_flag.flatten().fold(0.0, f64::max);
        assert_eq!(largest_flag.to_bits(), largest.to_bits());
    }
    let said = scene.expect(0, &["high.toml", "--out", "calm"]);
    assert!(!said.contains("flagged"), "{said}");

    // A single point has the error of the first line of the log, to the digits of the file.
    let words = ["eval", "methane.xyz", "--model", "tiny.safetensors"];
    scene.expect(0, &[&words[..], &["-o", "point.extxyz"]].concat());
    let point = std::fs::read_to_string(scene.path("point.extxyz")).unwrap();
    let expected = format!("force_error_eV_per_ang={} ", column[1]);
    assert!(point.contains(&expected), "{expected} is not in\n{point}");
}

#[test]
fn a_run_that_no_disk_can_hold_is_refused_before_anything_is_made() {
    let scene = Scene::new();
    let config = CONFIG.replace("starts.xyz", "methane.xyz");
    // A frame of five atoms in every step: some 500 TB.
    let config = config.replace("steps = 300", "steps = 1000000000000");
    let config = config.replace("frames_every = 20", "frames_every = 1");
    scene.write("config.toml", &config);
    let said = scene.expect(2, &["config.toml"]);
    assert!(said.contains("the run would write at least"), "{said}");
    assert!(
        said.contains("are free") && said.contains("--out"),
        "{said}"
    );
    assert!(!scene.path("config.out").exists());
    // `check` says what it would take.
    let checked = scene.run(&["check", "config.toml"]);
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(told.contains("are free"), "{told}");
}

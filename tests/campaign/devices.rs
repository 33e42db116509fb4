//! GPUs that are there and GPUs that are not. The driver that runs kernels on the host (`kernels/README.md`) can
//! be made to look too old.

use std::io::Write;

use crate::resume::CONFIG;
use crate::{Scene, assert_same};

/// The benchmark of a water on this device, and what it said.
fn bench(scene: &Scene, device: &str, (name, value): (&str, &str)) -> (bool, String) {
    let words = [
        "bench",
        "water.xyz",
        "--replicas",
        "1",
        "--seconds",
        "0.1",
        "--device",
        device,
    ];
    let output = scene.command(&words).env(name, value).output().unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn without_a_gpu_there_is_one_line_and_with_auto_the_cpu() {
    let scene = Scene::new();
    for old in [("EMULATOR_DRIVER", "11080"), ("EMULATOR_CAPABILITY", "7")] {
        let (found, said) = bench(&scene, "cuda", old);
        if found {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED {}: this GPU can be used",
                file!()
            );
            return;
        }
        let line = said.lines().next().unwrap();
        let why = line.strip_prefix("error: ").unwrap();
        let usual = ["no NVIDIA driver", "NVIDIA GPU", "finds no GPU"];
        let expected = ["CUDA 11.8, 12.2 is needed", "capability 7.0, 8.0 is needed"];
        assert!(
            usual
                .iter()
                .chain(&expected)
                .any(|words| why.contains(words)),
            "{said}"
        );
        assert!(said.contains("--device cpu"), "{said}");
        let (ran, said) = bench(&scene, "auto", old);
        assert!(
            ran && said.lines().count() == 1 && said.contains(why),
            "{said}"
        );
    }
}

/// The driver that runs kernels on the host loses its device after so many launches, wherever the run is then.
#[test]
fn a_campaign_whose_gpu_is_lost_resumes_to_the_same_bytes() {
    let scene = Scene::new();
    let (found, why) = bench(&scene, "cuda", ("EMULATOR_LOST_AFTER", "0"));
    if found || !why.contains("the GPU failed") {
        let why = if found {
            "this GPU cannot be lost"
        } else {
            &why
        };
        let _ = writeln!(std::io::stderr(), "SKIPPED {}: {why}", file!());
        return;
    }
    let config = CONFIG
        .replace(
            "steps = 6000",
            "steps = 16\ndevice = \"cuda\"\nprecision = \"single\"",
        )
        .replace("= 30", "= 3");
    scene.write("config.toml", &config);
    scene.expect(0, &["config.toml", "--out", "whole"]);
    let lost_after = |launches: u32, out: &str| {
        let words = ["config.toml", "--out", out, "--resume"];
        let mut command = scene.command(&words);
        let command = command.env("EMULATOR_LOST_AFTER", launches.to_string());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        println!("{launches}: {said}");
        (output.status.code().unwrap(), said)
    };
    // Some 40 launches evaluate all replicas, as many become the graph of a step, and a step is one more.
    // A GPU that makes no step is no good: whoever starts a run that ends with 75 again must get farther.
    assert_eq!(lost_after(1, "parts").0, 1);
    assert_eq!(lost_after(60, "parts").0, 1);
    let codes = [50, 55, 1000].map(|launches| {
        let (code, said) = lost_after(launches, "parts");
        let words = [
            "the GPU failed",
            "a device failed after the checkpoint of step",
        ];
        assert!(
            code == 0 || words.iter().all(|words| said.contains(words)),
            "{said}"
        );
        let summary = std::fs::read_to_string(scene.path("parts/summary.json")).unwrap();
        let outcome = if code == 0 { "complete" } else { "resumable" };
        assert!(summary.contains(outcome), "{summary}");
        code
    });
    // By the clock there may be a checkpoint from which the second is done in time.
    assert!(codes[0] == 75 && codes[2] == 0, "{codes:?}");
    assert_same(&scene.results("whole"), &scene.results("parts"));
}

/// In either precision, from files to files.
#[test]
fn a_campaign_on_a_gpu_resumes_to_the_same_bytes() {
    let scene = Scene::new();
    scene.write("config.toml", CONFIG);
    let (found, why) = bench(&scene, "cuda", ("EMULATOR", ""));
    if !found {
        let _ = writeln!(std::io::stderr(), "SKIPPED {}: {why}", file!());
        return;
    }
    for precision in ["single", "mixed"] {
        let config = format!("steps = 16\ndevice = \"cuda\"\nprecision = \"{precision}\"");
        let config = CONFIG
            .replace("steps = 6000", &config)
            .replace("= 30", "= 3");
        scene.write("config.toml", &config);
        let whole = format!("{precision} whole");
        let parts = format!("{precision} parts");
        scene.expect(0, &["config.toml", "--out", &whole]);
        for steps in ["5", "6", "16"] {
            scene.expect(
                0,
                &["config.toml", "--out", &parts, "--resume", "--steps", steps],
            );
        }
        assert_same(&scene.results(&whole), &scene.results(&parts));
    }
}

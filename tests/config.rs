//! Every refusal is a file in `tests/config/bad`, with its message in a comment at the end; every
//! config in `tests/config/good` is accepted.
//!
//! `MDRUN_BLESS=1 cargo test --test config` writes the messages of today into the files; read the
//! difference before keeping it.

#[path = "common/domain.rs"]
mod domain;
#[path = "common/random.rs"]
mod random;

use std::fs;
use std::path::{Path, PathBuf};

use domain::domain;
use mdrun::config::{Config, init};
use mdrun::plan::{Overrides, Plan, read_config};
use random::Random;

/// What starts a line of an expected message.
const MARK: &str = "#>";

/// All configs of a folder, sorted, by paths from the package's root, where tests run.
fn configs(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn resolve(path: &Path) -> mdrun::error::Result<Plan> {
    Plan::resolve(&read_config(path)?, &Overrides::default(), &domain())
}

#[test]
fn every_bad_config_is_refused_with_its_message() {
    let bless = std::env::var_os("MDRUN_BLESS").is_some();
    let mut wrong = Vec::new();
    for path in configs("tests/config/bad") {
        let text = fs::read_to_string(&path).unwrap();
        let marked = |line: &str| line.starts_with(MARK);
        let expected: Vec<_> = text
            .lines()
            .filter(|line| marked(line))
            .map(|line| line[MARK.len()..].strip_prefix(' ').unwrap_or(""))
            .collect();
        let message = match resolve(&path) {
            Ok(_) => "it is accepted".to_owned(),
            Err(error) => {
                assert_eq!(error.exit_code(), 2, "{}", path.display());
                error.to_string()
            }
        };
        if bless {
            let config = text.lines().filter(|line| !marked(line));
            let marks = message
                .lines()
                .map(|line| format!("{MARK} {line}").trim_end().to_owned());
            let whole: Vec<_> = config.map(str::to_owned).chain(marks).collect();
            fs::write(&path, whole.join("\n") + "\n").unwrap();
        } else if message != expected.join("\n") {
            wrong.push(format!("{}:\n{message}\n", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A search among all earlier names for each would be five thousand million comparisons.
#[test]
fn a_hundred_thousand_names_are_compared_and_the_last_is_found_among_them() {
    let table = |name: &str| format!("[[molecule]]\nname = \"{name}\"\nstructure = \"x.xyz\"\n");
    let head = "[run]\nsteps = 1\n".to_owned();
    let text = (0..100_000).fold(head, |text, n| text + &table(&format!("m{n}")));
    let path = Path::new("many.toml");
    assert_eq!(Config::parse(path, &text).unwrap().molecules.len(), 100_000);
    let error = Config::parse(path, &(text + &table("M0"))).unwrap_err();
    assert_eq!(error.what(), "two molecules are called M0");
    // Two lines before the tables, three each, and the name in the second of its own.
    assert!(error.to_string().contains("many.toml:300004\n"), "{error}");
}

#[test]
fn every_good_config_is_accepted() {
    for path in configs("tests/config/good") {
        let plan = resolve(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!plan.replicas.is_empty(), "{}", path.display());
    }
}

#[test]
fn hostile_configs_are_refused_without_a_panic() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let path = Path::new("hostile.toml");
    let mut accepted = 0;
    for _ in 0..3000 {
        let bytes = random.mutated(init().as_bytes(), b"0123456789-_.eE \t\r\n=\"[]#{},aKx");
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        match Config::parse(path, &text) {
            Ok(_) => accepted += 1,
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(accepted > 100, "{accepted}");
    for deep in ["[", "[[", "{a=", "a.", "[a."] {
        let text = format!("x = {}", deep.repeat(50_000));
        assert!(Config::parse(path, &text).is_err());
        assert!(Config::parse(path, &deep.repeat(50_000)).is_err());
    }
}

//! "Did you mean": the key that was probably meant by one that does not exist.

use super::schema;

/// What other programs, or a hurried hand, call our keys.
const ALIASES: [(&str, &str); 34] = [
    ("dt", "timestep_fs"),
    ("dt_fs", "timestep_fs"),
    ("time_step", "timestep_fs"),
    ("nsteps", "steps"),
    ("n_steps", "steps"),
    ("num_steps", "steps"),
    ("number_of_steps", "steps"),
    ("T", "temperature_K"),
    ("temp", "temperature_K"),
    ("temp_K", "temperature_K"),
    ("gamma", "friction_per_ps"),
    ("damping", "friction_per_ps"),
    ("collision_rate", "friction_per_ps"),
    ("ensemble", "scheme"),
    ("integrator", "scheme"),
    ("thermostat", "scheme"),
    ("output_dir", "out"),
    ("outdir", "out"),
    ("output", "out"),
    ("folder", "out"),
    ("file", "structure"),
    ("xyz_file", "structure"),
    ("coordinates", "structure"),
    ("geometry", "structure"),
    ("copies", "replicas"),
    ("n_replicas", "replicas"),
    ("count", "replicas"),
    ("random_seed", "seed"),
    ("center", "centre"),
    ("walltime", "max_walltime"),
    ("max_time", "max_walltime"),
    ("fmax", "force_tolerance_eV_per_ang"),
    ("force_tolerance", "force_tolerance_eV_per_ang"),
    ("max_steps", "steps_max"),
];

/// The way out for an unknown key of a table ("" is the top of the file).
pub fn hint(table: &str, unknown: &str) -> String {
    let lower = unknown.to_lowercase();
    if lower.contains("cutoff") || lower.contains("cut_off") {
        return "the force field has its own cut-off; leave the key out".to_owned();
    }
    let keys = schema::keys();
    let here = |key: &str| {
        keys.iter()
            .any(|(home, known)| home == table && known == key)
    };
    let alias = ALIASES
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(unknown));
    let meant = alias
        .map(|(_, key)| (*key).to_owned())
        .filter(|key| here(key))
        .or_else(|| nearest(unknown, keys.iter().filter(|(home, _)| home == table)));
    if let Some(key) = meant {
        return did_you_mean(unknown, &key);
    }
    let elsewhere = alias
        .map(|(_, key)| (*key).to_owned())
        .or_else(|| nearest(unknown, keys.iter().filter(|(home, _)| home != table)));
    if let Some(key) = elsewhere {
        let homes: Vec<_> = keys
            .iter()
            .filter(|(_, known)| *known == key)
            .map(|(home, _)| place(home))
            .collect();
        return format!("`{key}` belongs {}", homes.join(" or "));
    }
    let known: Vec<_> = keys
        .iter()
        .filter(|(home, _)| home == table)
        .map(|(_, key)| key.as_str())
        .collect();
    format!("known {} are {}", place(table), known.join(", "))
}

/// The word of a list that was probably meant.
pub fn nearest_word<'a>(unknown: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |word: &str| {
        let whole = strsim::jaro_winkler(&unknown.to_lowercase(), &word.to_lowercase());
        // A key without its unit, or with another one, is still the same quantity.
        if stem(unknown) == stem(word) {
            whole.max(0.99)
        } else {
            whole
        }
    };
    words
        .map(|word| (likeness(word), word))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, word)| word)
}

fn nearest<'a>(unknown: &str, keys: impl Iterator<Item = &'a (String, String)>) -> Option<String> {
    nearest_word(unknown, keys.map(|(_, key)| key.as_str())).map(str::to_owned)
}

fn did_you_mean(unknown: &str, key: &str) -> String {
    let unit = key
        .strip_prefix(&stem(key))
        .and_then(|rest| rest.strip_prefix('_'));
    match unit {
        Some(unit) if stem(unknown) == stem(key) && !unknown.eq_ignore_ascii_case(key) => {
            format!("did you mean `{key}`? Its value is in {}", unit_words(unit))
        }
        _ => format!("did you mean `{key}`?"),
    }
}

/// A key without its unit.
fn stem(key: &str) -> String {
    let units = [
        "_per_ps",
        "_per_fs",
        "_eV_per_ang",
        "_minutes",
        "_seconds",
        "_hours",
        "_amu",
        "_fs",
        "_ps",
        "_ns",
        "_K",
        "_C",
    ];
    let bare = units.iter().find_map(|unit| key.strip_suffix(unit));
    bare.unwrap_or(key).to_owned()
}

fn unit_words(unit: &str) -> String {
    unit.replace("per_", "1/")
        .replace("eV_1/ang", "eV/Å")
        .replace("amu", "u")
}

fn place(table: &str) -> String {
    match table {
        "" => "at the top of the file".to_owned(),
        "molecule" => "in [[molecule]]".to_owned(),
        other => format!("in [{other}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_understood() {
        for (table, unknown, expected) in [
            (
                "run",
                "timestep",
                "did you mean `timestep_fs`? Its value is in fs",
            ),
            (
                "run",
                "timestep_ps",
                "did you mean `timestep_fs`? Its value is in fs",
            ),
            ("run", "dt", "did you mean `timestep_fs`?"),
            ("run", "step", "did you mean `steps`?"),
            (
                "dynamics",
                "temperature",
                "did you mean `temperature_K`? Its value is in K",
            ),
            ("dynamics", "temperature_k", "did you mean `temperature_K`?"),
            (
                "dynamics",
                "friction_per_fs",
                "did you mean `friction_per_ps`? Its value is in 1/ps",
            ),
            (
                "run",
                "temperature_K",
                "`temperature_K` belongs in [dynamics] or in [limits] or in [[molecule]]",
            ),
            ("", "timestep_fs", "`timestep_fs` belongs in [run]"),
            ("", "molecules", "did you mean `molecule`?"),
            (
                "model",
                "cutoff_ang",
                "the force field has its own cut-off; leave the key out",
            ),
            ("model", "zzz", "known in [model] are name, path"),
        ] {
            assert_eq!(hint(table, unknown), expected, "[{table}] {unknown}");
        }
    }

    #[test]
    fn every_alias_leads_to_a_key() {
        let keys = schema::keys();
        for (alias, key) in ALIASES {
            assert!(
                keys.iter().any(|(_, known)| known == key),
                "{alias} → {key}"
            );
        }
    }
}

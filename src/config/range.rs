//! The allowed range of every number of the config, in one table.
//!
//! The same rows refuse what is outside them and put the limits into the JSON schema.

use std::ops::Range as Span;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a number may be.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The table it is in; empty for the top of the file.
    pub table: &'static str,
    /// Its key.
    pub key: &'static str,
    /// The least value.
    pub least: f64,
    /// Whether the least value itself is refused.
    pub above: bool,
    /// The greatest value.
    pub most: f64,
    /// Whether it counts something.
    pub whole: bool,
}

const fn whole(table: &'static str, key: &'static str, least: f64, most: f64) -> Range {
    Range {
        table,
        key,
        least,
        above: false,
        most,
        whole: true,
    }
}

const fn from(table: &'static str, key: &'static str, least: f64, most: f64) -> Range {
    Range {
        table,
        key,
        least,
        above: false,
        most,
        whole: false,
    }
}

const fn above(table: &'static str, key: &'static str, least: f64, most: f64) -> Range {
    Range {
        table,
        key,
        least,
        above: true,
        most,
        whole: false,
    }
}

/// More steps than 40 bits count would repeat random numbers; this is the round number below.
const STEPS_MAX: f64 = 1e12;

/// Every number of the config.
pub const RANGES: [Range; 17] = [
    // Up to 2⁵³, which every JSON reader keeps exactly.
    whole("", "seed", 0.0, 9_007_199_254_740_992.0),
    whole("run", "steps", 1.0, STEPS_MAX),
    // Beyond 5 fs no molecule with hydrogen is stable, not even with heavy hydrogens.
    above("run", "timestep_fs", 0.0, 5.0),
    from("dynamics", "temperature_K", 0.0, 10_000.0),
    from("dynamics", "friction_per_ps", 0.0, 10_000.0),
    from("dynamics", "hydrogen_mass_amu", 1.008, 4.0),
    // 24 bits of a replica's identity.
    whole("molecule", "replicas", 1.0, 16_777_216.0),
    from("molecule", "temperature_K", 0.0, 10_000.0),
    from("molecule", "friction_per_ps", 0.0, 10_000.0),
    whole("molecule", "charge", -100.0, 100.0),
    whole("output", "frames_every", 1.0, STEPS_MAX),
    whole("output", "log_every", 1.0, STEPS_MAX),
    above("checkpoint", "every_minutes", 0.0, 10_080.0),
    above("minimize", "force_tolerance_eV_per_ang", 0.0, 10.0),
    whole("minimize", "steps_max", 1.0, 1e6),
    above("limits", "temperature_K", 0.0, 1e9),
    above("limits", "force_error_eV_per_ang", 0.0, 1000.0),
];

/// The range of a number, by table and key.
pub fn find(table: &str, key: &str) -> Option<Range> {
    RANGES
        .into_iter()
        .find(|range| range.table == table && range.key == key)
}

/// A number outside its range.
#[derive(Debug)]
pub struct Refusal {
    /// Where the number stands.
    pub span: Span<usize>,
    /// What is wrong with it.
    pub what: String,
    /// What to write instead, where that can be guessed.
    pub hint: Option<String>,
}

/// The first number of the file that is outside its range.
pub fn check(document: &DeTable<'_>) -> Option<Refusal> {
    check_table("", document).or_else(|| {
        document
            .iter()
            .find_map(|(name, value)| match value.get_ref() {
                DeValue::Table(table) => check_table(name.get_ref(), table),
                DeValue::Array(tables) => tables
                    .iter()
                    .filter_map(|entry| entry.get_ref().as_table())
                    .find_map(|table| check_table(name.get_ref(), table)),
                _ => None,
            })
    })
}

fn check_table(name: &str, table: &DeTable<'_>) -> Option<Refusal> {
    table.iter().find_map(|(key, value)| {
        let range = find(name, key.get_ref())?;
        match value.get_ref() {
            DeValue::Array(list) => list.iter().find_map(|entry| range.refuse(entry)),
            _ => range.refuse(value),
        }
    })
}

impl Range {
    /// What is wrong with a value; values that are no numbers are left to the typed reading.
    fn refuse(&self, value: &Spanned<DeValue<'_>>) -> Option<Refusal> {
        let (number, written, fraction) = match value.get_ref() {
            DeValue::Integer(integer) => {
                let exact = i128::from_str_radix(integer.as_str(), integer.radix());
                (
                    exact.map_or(f64::INFINITY, |exact| exact as f64),
                    integer.as_str(),
                    false,
                )
            }
            DeValue::Float(float) => (float.as_str().parse().ok()?, float.as_str(), true),
            _ => return None,
        };
        let key = self.key;
        let fits = self.contains(number);
        if fits && !(self.whole && fraction) {
            return None;
        }
        let rewritten = fits && number.fract() == 0.0;
        Some(Refusal {
            span: value.span(),
            what: format!(
                "{key} = {written} is not possible: it must be {}",
                self.words()
            ),
            hint: rewritten.then(|| format!("write {key} = {number:.0}")),
        })
    }

    /// Whether a number is allowed, wholeness aside; NaN never is.
    pub fn contains(&self, number: f64) -> bool {
        number <= self.most
            && if self.above {
                number > self.least
            } else {
                number >= self.least
            }
    }

    /// The range in words.
    pub fn words(&self) -> String {
        let (least, most) = (grouped(self.least), grouped(self.most));
        match (self.whole, self.above) {
            (true, _) => format!("a whole number from {least} to {most}"),
            (false, false) => format!("from {least} to {most}"),
            (false, true) => format!("above {least} and at most {most}"),
        }
    }
}

/// A number with its digits in threes, as TOML reads them.
fn grouped(number: f64) -> String {
    let text = number.to_string();
    if number.fract() != 0.0 || number.abs() < 1e4 {
        return text;
    }
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or(("", text.as_str()), |rest| ("-", rest));
    let mut result = sign.to_owned();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            result.push('_');
        }
        result.push(digit);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_well() {
        assert_eq!(
            find("run", "timestep_fs").unwrap().words(),
            "above 0 and at most 5"
        );
        assert_eq!(
            find("molecule", "replicas").unwrap().words(),
            "a whole number from 1 to 16_777_216"
        );
        assert_eq!(
            find("", "seed").unwrap().words(),
            "a whole number from 0 to 9_007_199_254_740_992"
        );
    }

    #[test]
    fn nothing_that_is_no_number_is_inside() {
        for range in RANGES {
            assert!(!range.contains(f64::NAN), "{}", range.key);
            assert!(!range.contains(f64::INFINITY), "{}", range.key);
            assert!(range.contains(range.most), "{}", range.key);
        }
    }
}

//! Clock times as people write them: `11h30m`, `90s`, `2d`, or a number of seconds.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// The longest time that can be asked for, a year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// A clock time that a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walltime(pub Duration);

impl Walltime {
    fn from_seconds(seconds: f64) -> Option<Self> {
        let possible = seconds > 0.0 && seconds <= SECONDS_MAX;
        possible.then(|| Self(Duration::from_secs_f64(seconds)))
    }
}

impl FromStr for Walltime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = match text.trim().parse::<f64>() {
            Ok(seconds) => Some(seconds),
            Err(_) => sum_of_parts(text.trim()),
        };
        seconds.and_then(Self::from_seconds).ok_or_else(|| {
            format!("\"{text}\" is not a time; write 11h30m, 90s, 2d, or a number of seconds up to a year")
        })
    }
}

/// The seconds of `1d2h3m4s`; the units go from long to short, each at most once.
fn sum_of_parts(text: &str) -> Option<f64> {
    let mut units = [('d', 86_400.0), ('h', 3600.0), ('m', 60.0), ('s', 1.0)].iter();
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let unit = rest[end..].chars().next()?;
        let (_, unit_s) = units.find(|(letter, _)| *letter == unit)?;
        seconds += rest[..end].trim().parse::<f64>().ok()? * unit_s;
        rest = &rest[end + 1..];
    }
    (!text.is_empty()).then_some(seconds)
}

impl<'de> Deserialize<'de> for Walltime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WalltimeVisitor)
    }
}

struct WalltimeVisitor;

impl Visitor<'_> for WalltimeVisitor {
    type Value = Walltime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time like \"11h30m\" or a number of seconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Walltime, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Walltime, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Walltime, E> {
        seconds.to_string().parse().map_err(E::custom)
    }
}

impl JsonSchema for Walltime {
    fn schema_name() -> Cow<'static, str> {
        "Walltime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "number", "exclusiveMinimum": 0, "maximum": SECONDS_MAX },
                { "type": "string", "examples": ["11h30m", "90s"] },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_understood() {
        for (text, seconds) in [
            ("90", 90.0),
            ("1.5", 1.5),
            ("90s", 90.0),
            ("11h30m", 41_400.0),
            ("11h 30m", 41_400.0),
            ("1d2h3m4s", 93_784.0),
            ("0.5h", 1800.0),
        ] {
            let expected = Walltime(Duration::from_secs_f64(seconds));
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "", "h", "5x", "5m3h", "3h3h", "-5", "-5s", "nan", "inf", "infs", "1e300", "ä", "5ä",
        ] {
            assert!(text.parse::<Walltime>().is_err(), "{text}");
        }
    }
}

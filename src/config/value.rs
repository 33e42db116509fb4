//! Values of a config that are neither plain numbers nor plain text.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use crate::engine::Device;

/// The most temperatures of one molecule: an index of theirs is one byte of a replica's identity.
pub const TEMPERATURES_MAX: usize = 256;

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Device {
    fn schema_name() -> Cow<'static, str> {
        "Device".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(auto|cpu|cuda(:([0-9]+|all))?|reference)$",
            "default": "auto",
        })
    }
}

/// One temperature or a list of them, K; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Temperatures(Vec<f64>);

impl Temperatures {
    /// A single temperature.
    pub fn one(temperature_k: f64) -> Self {
        Self(vec![temperature_k])
    }

    /// All of them, in the order written.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Temperatures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TemperaturesVisitor)
    }
}

struct TemperaturesVisitor;

impl<'de> Visitor<'de> for TemperaturesVisitor {
    type Value = Temperatures;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Temperatures::one(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Temperatures::one(value as f64))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut temperatures_k = Vec::new();
        while let Some(temperature_k) = list.next_element::<f64>()? {
            temperatures_k.push(temperature_k);
        }
        match temperatures_k.len() {
            0 => Err(de::Error::custom(
                "an empty list leaves no temperature to run at",
            )),
            1..=TEMPERATURES_MAX => Ok(Temperatures(temperatures_k)),
            many => Err(de::Error::custom(format!(
                "{many} temperatures, and one molecule can have {TEMPERATURES_MAX} at most"
            ))),
        }
    }
}

impl JsonSchema for Temperatures {
    fn schema_name() -> Cow<'static, str> {
        "Temperatures".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "number" },
                {
                    "type": "array",
                    "items": { "type": "number" },
                    "minItems": 1,
                    "maxItems": TEMPERATURES_MAX,
                },
            ],
        })
    }
}

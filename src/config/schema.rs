//! The JSON schema of the config, and what it says about keys.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{Config, range};

/// The JSON schema of a config file, for editors that complete and check TOML.
pub fn schema() -> String {
    format!("{:#}", value())
}

/// Every key of the config with the table it is in; the top of the file is the table "".
pub fn keys() -> Vec<(String, String)> {
    let schema = value();
    let Some(top) = schema["properties"].as_object() else {
        return Vec::new();
    };
    let mut keys = Vec::new();
    for (name, property) in top {
        keys.push((String::new(), name.clone()));
        if let Some(table) = table_of(property) {
            keys.extend(table.keys().map(|key| (name.clone(), key.clone())));
        }
    }
    keys
}

/// The properties of a table, or of each of an array of tables.
fn table_of(property: &Value) -> Option<&Map<String, Value>> {
    let inside_option = property["anyOf"].get(0).unwrap_or(property);
    let each = inside_option.get("items").unwrap_or(inside_option);
    each["properties"].as_object()
}

fn table_of_mut(property: &mut Value) -> Option<&mut Map<String, Value>> {
    let inside_option = if property["anyOf"].is_array() {
        &mut property["anyOf"][0]
    } else {
        property
    };
    let each = if inside_option["items"].is_object() {
        &mut inside_option["items"]
    } else {
        inside_option
    };
    each.get_mut("properties")?.as_object_mut()
}

fn value() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let schema = SchemaGenerator::new(settings).into_root_schema_for::<Config>();
    let mut schema = schema.to_value();
    polish(&mut schema);
    schema["title"] = json!("mdrun config");
    if let Some(top) = schema["properties"].as_object_mut() {
        limit("", top);
        for (name, property) in top.iter_mut() {
            if let Some(table) = table_of_mut(property) {
                limit(name, table);
            }
        }
    }
    schema
}

/// Takes out what Rust's types leave behind: null, which TOML does not have, and the line ends of
/// doc comments.
fn polish(schema: &mut Value) {
    let is_null = |value: &Value| *value == json!("null") || value["type"] == "null";
    match schema {
        Value::Object(object) => {
            object.retain(|key, value| !(key == "default" && value.is_null()));
            for word in ["type", "anyOf"] {
                if let Some(Value::Array(choices)) = object.get_mut(word) {
                    choices.retain(|choice| !is_null(choice));
                }
            }
            if let Some(Value::Array(types)) = object.get_mut("type")
                && let [only] = &types[..]
            {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
            if let Some(Value::String(description)) = object.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            object.values_mut().for_each(polish);
        }
        Value::Array(list) => list.iter_mut().for_each(polish),
        _ => {}
    }
}

/// Writes the ranges of a table's numbers into their properties.
fn limit(table: &str, properties: &mut Map<String, Value>) {
    for (key, property) in properties {
        let Some(range) = range::find(table, key) else {
            continue;
        };
        let least = if range.above {
            "exclusiveMinimum"
        } else {
            "minimum"
        };
        let limits = [
            (least, bound(range.least, range.whole)),
            ("maximum", bound(range.most, range.whole)),
        ];
        for number in numbers_of(property) {
            for (word, limit) in &limits {
                number.insert((*word).to_owned(), limit.clone());
            }
        }
    }
}

/// The parts of a property that describe a number: itself, or of a list's entries.
fn numbers_of(property: &mut Value) -> Vec<&mut Map<String, Value>> {
    if property["anyOf"].is_array() {
        let choices = property["anyOf"]
            .as_array_mut()
            .expect("it was just seen to be a list");
        return choices.iter_mut().flat_map(numbers_of).collect();
    }
    if property["items"].is_object() {
        return numbers_of(&mut property["items"]);
    }
    let kind = &property["type"];
    let is = |name: &str| {
        kind == name
            || kind
                .as_array()
                .is_some_and(|kinds| kinds.contains(&json!(name)))
    };
    if is("number") || is("integer") {
        property.as_object_mut().into_iter().collect()
    } else {
        Vec::new()
    }
}

fn bound(limit: f64, whole: bool) -> Value {
    if whole {
        json!(limit as i64)
    } else {
        json!(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_belongs_to_a_key() {
        let keys = keys();
        for range in range::RANGES {
            let key = (range.table.to_owned(), range.key.to_owned());
            assert!(keys.contains(&key), "{key:?}");
        }
    }

    #[test]
    fn every_number_has_a_range_and_every_key_a_description() {
        let schema = value();
        let top = schema["properties"].as_object().unwrap();
        for (name, property) in top {
            let as_table = table_of(property);
            let mine = [(String::new(), name, property)];
            let inner = as_table
                .into_iter()
                .flatten()
                .map(|(key, inner)| (name.clone(), key, inner));
            for (table, key, property) in mine.into_iter().chain(inner) {
                assert!(
                    property["description"].is_string(),
                    "[{table}] {key}: no description"
                );
                let mut copy = property.clone();
                for number in numbers_of(&mut copy) {
                    assert!(
                        number.contains_key("maximum"),
                        "[{table}] {key}: {number:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_key_is_named_cutoff() {
        assert!(keys().iter().all(|(_, key)| !key.contains("cut")));
    }
}

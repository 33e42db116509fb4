//! The comment line of an extXYZ frame: `key=value` pairs and the columns of the atoms.

use std::collections::HashMap;

/// Which columns of an atom's line hold what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Element symbol or atomic number.
    pub element: usize,
    /// The first of three coordinates.
    pub position: usize,
    /// How many columns there must be.
    pub count: usize,
}

impl Columns {
    /// Those of plain XYZ.
    pub const PLAIN: Self = Self {
        element: 0,
        position: 1,
        count: 4,
    };

    /// Reads a value such as `species:S:1:pos:R:3:forces:R:3`.
    pub fn parse(properties: &str) -> Result<Self, String> {
        let mut fields = properties.split(':');
        let mut count = 0_usize;
        let (mut species, mut number, mut position) = (None, None, None);
        while let Some(name) = fields.next() {
            let (Some(kind), Some(width)) = (fields.next(), fields.next()) else {
                return Err(format!("column {name:?} lacks its type or its width"));
            };
            let width = width.parse::<u16>().ok().filter(|width| *width > 0);
            let width = width.ok_or_else(|| format!("column {name:?} has no sensible width"))?;
            match (name.to_ascii_lowercase().as_str(), kind, width) {
                ("species" | "element" | "elements" | "symbols", "S", 1) => species = Some(count),
                ("z" | "numbers" | "atomic_number", "I", 1) => number = Some(count),
                ("pos" | "positions", "R", 3) => position = Some(count),
                _ => {}
            }
            count = count.saturating_add(usize::from(width));
        }
        let element = species
            .or(number)
            .ok_or("there is no column species:S:1 or Z:I:1")?;
        let position = position.ok_or("there is no column pos:R:3")?;
        Ok(Self {
            element,
            position,
            count,
        })
    }
}

/// The `key=value` pairs of a comment, keys in lower case; nothing where it is ordinary prose.
pub fn pairs(comment: &str) -> HashMap<String, &str> {
    let mut pairs = HashMap::new();
    let mut rest = comment.trim_start();
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c == '=' || c.is_whitespace())
            .unwrap_or(rest.len());
        let key = &rest[..end];
        rest = &rest[end..];
        let Some(value) = rest.strip_prefix('=') else {
            rest = rest.trim_start();
            continue;
        };
        let (value, after) = take_value(value);
        if !key.is_empty() {
            pairs.insert(key.to_ascii_lowercase(), value);
        }
        rest = after.trim_start();
    }
    pairs
}

/// A value in quotes, or up to the next blank; and what follows it.
fn take_value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote)
            && let Some(end) = inner.find(quote)
        {
            return (&inner[..end], &inner[end + 1..]);
        }
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_in_any_order() {
        let columns = Columns::parse("id:I:1:pos:R:3:species:S:1:forces:R:3").unwrap();
        assert_eq!(
            columns,
            Columns {
                element: 4,
                position: 1,
                count: 8
            }
        );
        let columns = Columns::parse("Z:I:1:pos:R:3").unwrap();
        assert_eq!(columns, Columns::PLAIN);
    }

    #[test]
    fn columns_that_cannot_be_are_refused() {
        for properties in [
            "",
            "species",
            "species:S",
            "species:S:1",
            "pos:R:3",
            "species:S:x:pos:R:3",
            "species:S:1:pos:R:2",
            "species:S:-1:pos:R:3",
        ] {
            assert!(Columns::parse(properties).is_err(), "{properties}");
        }
    }

    #[test]
    fn pairs_with_and_without_quotes() {
        let pairs = pairs(r#"step 5 charge=1 Lattice="1 0 0" Name='a b' pbc="F F F" x= y"#);
        assert_eq!(pairs["charge"], "1");
        assert_eq!(pairs["lattice"], "1 0 0");
        assert_eq!(pairs["name"], "a b");
        assert_eq!(pairs["x"], "");
        assert!(!pairs.contains_key("step") && !pairs.contains_key("y"));
    }

    #[test]
    fn prose_has_no_pairs_that_matter() {
        assert!(pairs("it's a \"water molecule").is_empty());
        assert_eq!(pairs("E=\"unclosed quote").get("e"), Some(&"\"unclosed"));
    }
}

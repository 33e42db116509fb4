//! The comment line of an extXYZ frame: `key=value` pairs and the columns of the atoms.

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

/// The value of the first of `keys` that a comment names, whatever their case; nothing where it is
/// ordinary prose.
pub fn value<'a>(comment: &'a str, keys: &[&str]) -> Option<&'a str> {
    let find = |key: &&str| pairs(comment).find(|(name, _)| name.eq_ignore_ascii_case(key));
    keys.iter().find_map(find).map(|(_, value)| value)
}

/// The `key=value` pairs of a comment. They are not collected: a comment may be as long as a file.
pub fn pairs(comment: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = comment.trim_start();
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = rest
                .find(|c: char| c == '=' || c.is_whitespace())
                .unwrap_or(rest.len());
            let (key, after) = rest.split_at(end);
            let Some(value) = after.strip_prefix('=') else {
                rest = after.trim_start();
                continue;
            };
            let (value, after) = take_value(value);
            rest = after.trim_start();
            if !key.is_empty() {
                return Some((key, value));
            }
        }
        None
    })
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
    fn values_with_and_without_quotes() {
        let comment = r#"step 5 charge=1 Lattice="1 0 0" Name='a b' pbc="F F F" x= y"#;
        let value = |key| value(comment, &[key]);
        assert_eq!(value("charge"), Some("1"));
        assert_eq!(value("lattice"), Some("1 0 0"));
        assert_eq!(value("name"), Some("a b"));
        assert_eq!(value("x"), Some(""));
        assert_eq!((value("step"), value("y")), (None, None));
    }

    #[test]
    fn prose_has_no_pairs_that_matter() {
        assert_eq!(pairs("it's a \"water molecule").count(), 0);
        assert_eq!(value("E=\"unclosed quote", &["e"]), Some("\"unclosed"));
        assert_eq!(pairs("= == =").count(), 0);
    }
}

//! Numbers as text, fast and without an allocation each.
//!
//! Decimal notation with a given count of significant digits where that is short, scientific
//! notation elsewhere. The same value always gives the same text, which resumed runs need. It is
//! not the shortest text that reads back exactly: output wants digits that mean something.

use std::io::Write;

/// Powers of ten that are exact in f64 and fit a `u64`.
const POWERS: [f64; 19] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// The size of numbers in decimal notation.
const DECIMAL_MIN: f64 = 1e-6;
const DECIMAL_MAX: f64 = 1e9;

/// Appends `value` with `digits` significant digits, from 4 to 12.
pub fn push(buffer: &mut Vec<u8>, value: f64, digits: usize) {
    debug_assert!((4..=12).contains(&digits));
    let size = value.abs();
    if size == 0.0 {
        buffer.extend_from_slice(b"0.0");
        return;
    }
    // NaN takes this way out as well.
    if !(DECIMAL_MIN..DECIMAL_MAX).contains(&size) {
        // Writing to a vector cannot fail.
        let _ = write!(buffer, "{value:.*e}", digits - 1);
        return;
    }
    if value < 0.0 {
        buffer.push(b'-');
    }
    // At most 12 − 1 + 6 = 17 decimals and 13 digits: everything below stays inside a u64, and the
    // product is off by less than a thousandth of the last digit.
    let decimals = decimals(size, digits);
    let scaled = (size * POWERS[decimals]).round_ties_even() as u64;
    push_scaled(buffer, scaled, decimals);
}

/// Appends `value` with up to 12 significant digits, without the zeros at the end.
pub fn push_trimmed(buffer: &mut Vec<u8>, value: f64) {
    let start = buffer.len();
    push(buffer, value, 12);
    if buffer[start..].contains(&b'e') {
        return;
    }
    while buffer.last() == Some(&b'0') {
        buffer.pop();
    }
    if buffer.last() == Some(&b'.') {
        buffer.pop();
    }
}

/// Appends an integer.
pub fn push_integer(buffer: &mut Vec<u8>, value: u64) {
    let mut text = [0; 20];
    let mut start = text.len();
    let mut rest = value;
    loop {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&text[start..]);
}

/// How many decimals give `digits` significant digits of a size in decimal notation.
fn decimals(size: f64, digits: usize) -> usize {
    if size >= 1.0 {
        let whole = POWERS[1..].iter().take_while(|power| size >= **power);
        digits - 1 - whole.count().min(digits - 1)
    } else {
        let zeros = POWERS[1..].iter().take_while(|power| size * **power < 1.0);
        digits + zeros.count()
    }
}

/// Appends `scaled` · 10⁻ᵈᵉᶜⁱᵐᵃˡˢ, always with a digit on both sides of the point.
fn push_scaled(buffer: &mut Vec<u8>, scaled: u64, decimals: usize) {
    let mut text = [0; 24];
    let mut start = text.len();
    let mut rest = scaled;
    if decimals == 0 {
        start -= 2;
        text[start] = b'.';
        text[start + 1] = b'0';
    } else {
        for _ in 0..decimals {
            start -= 1;
            text[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        start -= 1;
        text[start] = b'.';
    }
    loop {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&text[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::philox4x32;

    fn text(value: f64, digits: usize) -> String {
        let mut buffer = Vec::new();
        push(&mut buffer, value, digits);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn numbers_have_the_digits_asked_for() {
        assert_eq!(text(1.0, 9), "1.00000000");
        assert_eq!(text(-12.345_678_912, 9), "-12.3456789");
        assert_eq!(text(0.012_345_678_91, 9), "0.0123456789");
        assert_eq!(text(123_456_789.4, 9), "123456789.0");
        assert_eq!(text(9.999_999_999_9, 9), "10.00000000");
        assert_eq!(text(1.25e-9, 9), "1.25000000e-9");
        assert_eq!(text(-0.0, 9), "0.0");
        assert_eq!(text(0.062_512, 4), "0.06251");
        assert_eq!(text(123_456.7, 4), "123457.0");
        assert_eq!(text(f64::NAN, 9), "NaN");
        assert_eq!(text(-13_217.123_456_789, 12), "-13217.1234568");
    }

    #[test]
    fn trimmed_numbers_end_without_zeros() {
        for (value, expected) in [(50.0, "50"), (0.5, "0.5"), (0.1 * 3.0, "0.3"), (0.0, "0")] {
            let mut buffer = Vec::new();
            push_trimmed(&mut buffer, value);
            assert_eq!(String::from_utf8(buffer).unwrap(), expected);
        }
    }

    #[test]
    fn integers_are_complete() {
        for value in [0, 7, 10, 1_234_567_890, u64::MAX] {
            let mut buffer = Vec::new();
            push_integer(&mut buffer, value);
            assert_eq!(String::from_utf8(buffer).unwrap(), value.to_string());
        }
    }

    #[test]
    fn text_reads_back_to_half_a_unit_of_its_last_digit() {
        for draw in 0..20_000_u32 {
            let [a, b, ..] = philox4x32([draw, 0, 0, 0], [1, 2]);
            let fraction = f64::from(a) / f64::from(u32::MAX) - 0.5;
            let value = fraction * 10_f64.powi((b % 24) as i32 - 12);
            for digits in [4, 9, 12] {
                let read: f64 = text(value, digits).parse().unwrap();
                // Half a unit of the last digit, relative to the leading one, and its rounding.
                let bound = 0.501 * 10_f64.powi(1 - digits as i32) * value.abs();
                assert!((read - value).abs() <= bound, "{value:e} as {read:e}");
            }
        }
    }
}

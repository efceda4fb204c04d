//! Reads Kubernetes quantities as bytes and prints byte counts as quantities.
//!
//! Knows only whole bytes: fractions are rounded up, as Kubernetes does, and negative counts refused.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// A quantity as written on the wire: `10Gi`, `1.5e9`, or a bare number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Quantity(pub String);

impl Quantity {
    /// The canonical quantity of a byte count.
    pub fn of_bytes(bytes: u64) -> Self {
        Self(print_bytes(bytes))
    }

    /// How many bytes it is.
    pub fn bytes(&self) -> Result<u64, QuantityError> {
        parse(&self.0)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StringOrNumber;
        impl de::Visitor<'_> for StringOrNumber {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity: a string such as \"10Gi\", or a number")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }
        }
        deserializer.deserialize_any(StringOrNumber)
    }
}

/// A text is not a size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It is not a quantity at all.
    #[error("{0:?} is not a quantity; write a number and a unit, such as 10Gi or 500M")]
    Malformed(String),
    /// It is below zero.
    #[error("{0:?} is negative; a size must be zero or more")]
    Negative(String),
    /// It is 8 EiB or more.
    #[error("{0:?} is too large; a size must be below 8Ei")]
    TooLarge(String),
}

/// The bytes in a quantity, rounded up; none if it is no size.
pub fn parse_bytes(text: &str) -> Option<u64> {
    parse(text).ok()
}

/// The bytes in a quantity, rounded up.
pub fn parse(text: &str) -> Result<u64, QuantityError> {
    let malformed = || QuantityError::Malformed(text.to_owned());
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let end = unsigned
        .find(|it: char| !it.is_ascii_digit() && it != '.')
        .unwrap_or(unsigned.len());
    let (number, unit) = unsigned.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + part.len() == 0 || part.contains('.') {
        return Err(malformed());
    }
    let unit = Unit::parse(unit).ok_or_else(malformed)?;
    match scale(whole, part, unit) {
        Some(0) => Ok(0),
        _ if negative => Err(QuantityError::Negative(text.to_owned())),
        // Sizes are int64 on the wire.
        Some(bytes) if i64::try_from(bytes).is_ok() => Ok(bytes),
        _ => Err(QuantityError::TooLarge(text.to_owned())),
    }
}

/// A byte count as Kubernetes prints it: the largest binary unit that keeps it whole.
pub fn print_bytes(bytes: u64) -> String {
    // Below 1024 Kubernetes counts in thousands; only one value shows it.
    if bytes == 1000 {
        return "1k".to_owned();
    }
    let mut value = bytes;
    let mut unit = "";
    for next in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
        if value == 0 || !value.is_multiple_of(1024) {
            break;
        }
        value /= 1024;
        unit = next;
    }
    format!("{value}{unit}")
}

/// What a suffix multiplies by: `2^twos * 10^tens`.
#[derive(Clone, Copy)]
struct Unit {
    twos: u32,
    tens: i64,
}

impl Unit {
    fn parse(text: &str) -> Option<Self> {
        let (twos, tens) = match text {
            "" => (0, 0),
            "Ki" => (10, 0),
            "Mi" => (20, 0),
            "Gi" => (30, 0),
            "Ti" => (40, 0),
            "Pi" => (50, 0),
            "Ei" => (60, 0),
            "n" => (0, -9),
            "u" => (0, -6),
            "m" => (0, -3),
            "k" => (0, 3),
            "M" => (0, 6),
            "G" => (0, 9),
            "T" => (0, 12),
            "P" => (0, 15),
            "E" => (0, 18),
            _ => (0, exponent(text)?),
        };
        Some(Self { twos, tens })
    }
}

/// `e3`, `E-6`: the power of ten.
fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['e', 'E'])?;
    let bare = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if bare.is_empty() || !bare.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    // Beyond this a number is too large, or rounds up to one byte, whatever its digits.
    let size = bare.parse::<i64>().unwrap_or(FAR).min(FAR);
    Some(if digits.starts_with('-') { -size } else { size })
}

const FAR: i64 = 10_000;
/// 10^20 * 2^60, the largest number met on the way, fits 128 bits.
const DIGITS: usize = 20;

/// `whole.part` in `unit`, rounded up to whole bytes; none if it is beyond `u64`.
///
/// Digits after the twentieth only matter for rounding.
fn scale(whole: &str, part: &str, unit: Unit) -> Option<u64> {
    let digits = [whole, part].concat();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let (kept, dropped) = digits.split_at(digits.len().min(DIGITS));
    let length = |text: &str| i64::try_from(text.len()).ok();
    let tens = unit.tens - length(part)? + length(dropped)?;
    if length(kept)? + tens > length("18446744073709551615")? {
        return None;
    }
    let mut value = kept.parse::<u128>().ok()? << unit.twos;
    let mut inexact = dropped.bytes().any(|it| it != b'0');
    for _ in 0..tens {
        value = value.checked_mul(10)?;
    }
    for _ in tens..0 {
        if value == 0 {
            break;
        }
        inexact |= !value.is_multiple_of(10);
        value /= 10;
    }
    u64::try_from(value + u128::from(inexact)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("-0", 0),
            ("+7", 7),
            ("5.", 5),
            (".5", 1),
            ("1Ki", 1 << 10),
            ("3Mi", 3 << 20),
            ("10Gi", 10 << 30),
            ("1.5Gi", 3 << 29),
            ("2Ti", 2 << 40),
            ("1Pi", 1 << 50),
            ("7Ei", 7 << 60),
            ("1k", 1_000),
            ("500M", 500_000_000),
            ("1G", 1_000_000_000),
            ("1T", 1_000_000_000_000),
            ("1P", 1_000_000_000_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1e3", 1_000),
            ("1E3", 1_000),
            ("12e+2", 1_200),
            ("1200e-2", 12),
            ("9223372036854775807", i64::MAX.unsigned_abs()),
            ("000000000000000000000000000000001Gi", 1 << 30),
            ("0e99999999999999999999", 0),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn rounds_fractions_of_a_byte_up() {
        for (text, bytes) in [
            ("0.1", 1),
            ("1n", 1),
            ("1500m", 2),
            ("2000m", 2),
            ("1000001u", 2),
            ("1.0000000001Ki", 1025),
            ("1.00000000000000000000000000001", 2),
            ("1e-9999999999999999999999", 1),
            ("1073741824000m", 1 << 30),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size_and_says_why() {
        for text in [
            "", "-", "+", ".", "Gi", "1 Gi", "1gi", "1K", "1.2.3", "1e", "1e+", "0x10", "--1",
            "+-1", "1Gi ", "e3", "\u{661}", "NaN",
        ] {
            assert_eq!(
                parse(text),
                Err(QuantityError::Malformed(text.to_owned())),
                "{text}"
            );
        }
        for text in ["-1", "-1n", "-1Gi"] {
            assert_eq!(
                parse(text),
                Err(QuantityError::Negative(text.to_owned())),
                "{text}"
            );
        }
        for text in [
            "8Ei",
            "9223372036854775808",
            "1e19",
            "1e9999999999",
            "99999999999999999999999",
        ] {
            assert_eq!(
                parse(text),
                Err(QuantityError::TooLarge(text.to_owned())),
                "{text}"
            );
        }
        assert_eq!(
            parse("1K").map_err(|it| it.to_string()),
            Err(
                "\"1K\" is not a quantity; write a number and a unit, such as 10Gi or 500M"
                    .to_owned()
            )
        );
    }

    #[test]
    fn prints_the_largest_unit_that_keeps_it_whole() {
        for (bytes, text) in [
            (0, "0"),
            (1, "1"),
            (1000, "1k"),
            (1023, "1023"),
            (1024, "1Ki"),
            (1536, "1536"),
            (2000, "2000"),
            (3 << 29, "1536Mi"),
            (1 << 30, "1Gi"),
            (1 << 60, "1Ei"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(print_bytes(bytes), text);
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let mut bytes = 1_u64;
        while bytes < 1 << 62 {
            for near in [bytes - 1, bytes, bytes + 1, bytes + 1024] {
                assert_eq!(Quantity::of_bytes(near).bytes(), Ok(near));
            }
            bytes = bytes * 3 / 2 + 1;
        }
    }

    #[test]
    fn decodes_strings_and_numbers() {
        for (json, text) in [
            ("\"1Gi\"", "1Gi"),
            ("1024", "1024"),
            ("-1", "-1"),
            ("1.5", "1.5"),
        ] {
            assert_eq!(
                serde_json::from_str::<Quantity>(json).unwrap(),
                Quantity(text.to_owned())
            );
        }
        assert!(serde_json::from_str::<Quantity>("{}").is_err());
    }
}

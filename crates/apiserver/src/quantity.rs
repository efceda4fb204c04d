//! Reads, compares and prints Kubernetes quantities.
//!
//! Does not know what is measured. A value is a whole number of nano-units, as in Kubernetes, where anything finer is rounded up.

use std::cmp::Ordering;

/// The message of the server for text that is no quantity.
pub(crate) const MALFORMED: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

const NANO: i128 = 1_000_000_000;
/// 2^63-1: larger quantities are capped.
const MOST: i128 = 9_223_372_036_854_775_807 * NANO;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Binary,
    Decimal,
    Exponent,
}

/// An amount such as `1Gi`, `500m` or `1e3`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    nanos: i128,
    form: Form,
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Quantity {
    pub(crate) const ZERO: Self = Self {
        nanos: 0,
        form: Form::Decimal,
    };

    /// So many.
    pub(crate) fn whole(number: usize) -> Self {
        let number = i128::try_from(number).unwrap_or(MOST);
        Self {
            nanos: number.saturating_mul(NANO).min(MOST),
            form: Form::Decimal,
        }
    }

    /// The sum, printed as the first is, if there is any.
    pub(crate) fn plus(self, other: Self) -> Self {
        let form = if self.is_zero() {
            other.form
        } else {
            self.form
        };
        Self {
            nanos: self.nanos.saturating_add(other.nanos).min(MOST),
            form,
        }
    }

    /// The difference, which may be negative.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_sub(other.nanos),
            form: self.form,
        }
    }

    /// Reads a quantity; `None` if the text is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(digits);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let (form, base, exponent) = suffix_of(suffix)?;
        let nanos = scaled(whole, fraction, base, exponent);
        Some(Self {
            nanos: if negative { -nanos } else { nanos },
            form,
        })
    }

    /// Reads a JSON number or string.
    pub(crate) fn of(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::String(text) => Self::parse(text),
            serde_json::Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    pub(crate) fn is_negative(self) -> bool {
        self.nanos < 0
    }

    pub(crate) fn is_zero(self) -> bool {
        self.nanos == 0
    }
}

/// `(form, base, exponent)` of a suffix.
fn suffix_of(suffix: &str) -> Option<(Form, i128, i32)> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [(&str, i32); 10] = [
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("", 0),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ];
    if let Some(power) = (1..)
        .zip(BINARY)
        .find(|(_, name)| *name == suffix)
        .map(|(p, _)| p)
    {
        return Some((Form::Binary, 1024, power));
    }
    if let Some((_, exponent)) = DECIMAL.into_iter().find(|(name, _)| *name == suffix) {
        return Some((Form::Decimal, 10, exponent));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((Form::Exponent, 10, exponent))
}

/// Nano-units of `whole.fraction × base^exponent`, rounded up, capped.
fn scaled(whole: &str, fraction: &str, base: i128, exponent: i32) -> i128 {
    // Eighteen decimals outlast the largest suffix; further digits only decide the rounding.
    let (kept, dropped) = fraction.split_at(fraction.len().min(18));
    let mut inexact = dropped.bytes().any(|b| b != b'0');
    let mut number: i128 = 0;
    for digit in whole.bytes().chain(kept.bytes()) {
        let next = number
            .checked_mul(10)
            .and_then(|n| n.checked_add(i128::from(digit - b'0')));
        let Some(next) = next else { return MOST };
        number = next;
    }
    if number == 0 && !inexact {
        return 0;
    }
    let decimals = i32::try_from(kept.len()).unwrap_or(18);
    let mut shift = 9 - decimals;
    if base == 1024 {
        for _ in 0..exponent {
            let Some(next) = number.checked_mul(1024) else {
                return MOST;
            };
            number = next;
        }
    } else {
        shift = shift.saturating_add(exponent);
    }
    while shift > 0 {
        let Some(next) = number.checked_mul(10) else {
            return MOST;
        };
        number = next;
        shift -= 1;
        if number > MOST {
            return MOST;
        }
    }
    while shift < 0 && number > 0 {
        inexact |= number % 10 != 0;
        number /= 10;
        shift += 1;
    }
    number.saturating_add(i128::from(inexact)).min(MOST)
}

impl std::fmt::Display for Quantity {
    /// The canonical form: nothing lost, no fraction, the largest suffix that fits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let small = self.nanos.abs() < 1024 * NANO;
        if self.form == Form::Binary && !small && self.nanos % NANO == 0 {
            let (mut number, mut power) = (self.nanos / NANO, 0);
            while number % 1024 == 0 && power < 6 {
                number /= 1024;
                power += 1;
            }
            return write!(
                f,
                "{number}{}",
                ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power]
            );
        }
        let (mut number, mut power) = (self.nanos, 0_usize);
        while number % 1000 == 0 && power < 9 {
            number /= 1000;
            power += 1;
        }
        match self.form {
            Form::Exponent if power == 3 => write!(f, "{number}"),
            Form::Exponent => write!(f, "{number}e{}", 3 * i64::try_from(power).unwrap_or(0) - 9),
            Form::Binary | Form::Decimal => {
                write!(
                    f,
                    "{number}{}",
                    ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][power]
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_print_in_canonical_form() {
        let cases = [
            ("0", "0"),
            ("0Ki", "0"),
            ("1Gi", "1Gi"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1023Ki", "1023Ki"),
            ("1Ki", "1Ki"),
            ("0.5Ki", "512"),
            ("1073741824", "1073741824"),
            ("1000000000", "1G"),
            ("1500m", "1500m"),
            ("0.1m", "100u"),
            ("1.5", "1500m"),
            ("1e3", "1e3"),
            ("100e3", "100e3"),
            ("1E", "1E"),
            ("12e0", "12"),
            ("-5Mi", "-5Mi"),
            ("+3", "3"),
            (".5", "500m"),
            ("5.", "5"),
            ("0.0000000001", "1n"),
            ("1000m", "1"),
            ("99999999999999999999", "9223372036854775807"),
        ];
        for (input, expect) in cases {
            assert_eq!(
                Quantity::parse(input).unwrap().to_string(),
                expect,
                "{input}"
            );
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "", "Gi", "1gi", "1 Gi", "1.2.3", "1e", "1ee3", "abc", "-", "1KiB", "--1", ".",
        ] {
            assert!(Quantity::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn quantities_compare_by_amount() {
        let q = |text: &str| Quantity::parse(text).unwrap();
        assert_eq!(q("1Gi"), q("1024Mi"));
        assert!(q("1G") < q("1Gi"));
        assert!(q("100m") < q("1"));
        assert!(q("-1").is_negative() && q("0m").is_zero());
        assert_eq!(Quantity::of(&serde_json::json!(5)), Quantity::parse("5"));
    }
}

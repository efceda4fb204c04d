//! Recognises the string formats that a schema can ask for.
//!
//! Does not know formats Kubernetes ignores: those accept anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a string has the format.
pub(super) fn accepts(name: &str, text: &str) -> bool {
    match name {
        "date-time" | "datetime" => is_date_time(text),
        "date" => text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10,
        "duration" => nanoseconds(text).is_some(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "ip" => text.parse::<IpAddr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => is_uuid(name, text),
        "hostname" => is_hostname(text),
        "email" => is_email(text),
        "uri" => is_uri(text),
        "byte" => is_base64(text),
        _ => true,
    }
}

/// RFC 3339 with a time zone.
pub(crate) fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let marked = bytes.len() >= 20
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b't')
        && bytes[13] == b':'
        && bytes[16] == b':';
    marked && text.parse::<jiff::Timestamp>().is_ok()
}

/// Go's durations, and the spelled-out ones that the API server also takes, in nanoseconds.
pub(super) fn nanoseconds(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let (mut left, mut sum) = (rest, 0_i128);
    while !left.is_empty() {
        let digits = left
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(left.len());
        let (number, after) = left.split_at(digits);
        let after = after.trim_start();
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        sum = sum.checked_add(amount(number, nanoseconds_of(unit)?)?)?;
        left = after.trim_start();
    }
    i64::try_from(sign * sum).ok()
}

fn nanoseconds_of(unit: &str) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" | "second" | "seconds" => SECOND,
        "m" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hour" | "hours" => 3600 * SECOND,
        "d" | "day" | "days" => 24 * 3600 * SECOND,
        "w" | "week" | "weeks" => 7 * 24 * 3600 * SECOND,
        _ => return None,
    })
}

/// So many of a unit; what is less than a nanosecond is cut off.
fn amount(number: &str, unit: i128) -> Option<i128> {
    /// More digits after the point than any unit has nanoseconds.
    const FINEST: usize = 18;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let number = |text: &str| -> Option<i128> {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse().ok()
        }
    };
    let fraction = &fraction[..fraction.len().min(FINEST)];
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole = number(whole)?.checked_mul(unit)?;
    let rest = number(fraction)?.checked_mul(unit)? / scale;
    whole.checked_add(rest)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    match (address.parse::<IpAddr>(), bits.parse::<u8>()) {
        (Ok(IpAddr::V4(_)), Ok(bits)) => bits <= 32,
        (Ok(IpAddr::V6(_)), Ok(bits)) => bits <= 128,
        _ => false,
    }
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    matches!(parts.len(), 6 | 8 | 20)
        && parts
            .iter()
            .all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_uuid(name: &str, text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    let version = name.strip_prefix("uuid").and_then(|v| v.chars().next());
    plain.len() == 32
        && plain.bytes().all(|b| b.is_ascii_hexdigit())
        && version.is_none_or(|v| plain.as_bytes()[12] == v as u8)
}

fn is_hostname(text: &str) -> bool {
    let part = |p: &str| {
        !p.is_empty()
            && p.len() <= 63
            && p.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !p.starts_with('-')
            && !p.ends_with('-')
    };
    !text.is_empty() && text.len() <= 255 && text.trim_end_matches('.').split('.').all(part)
}

fn is_email(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && !user.contains(char::is_whitespace) && is_hostname(host)
    })
}

fn is_uri(text: &str) -> bool {
    // Kubernetes accepts an absolute URI or an absolute path.
    let clean = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    let scheme = text.split_once(':').is_some_and(|(s, _)| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    clean && (scheme || text.starts_with('/'))
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_and_none_is_larger_than_kubernetes_can_hold() {
        let second = 1_000_000_000;
        let cases = [
            ("1h30m", Some(5400 * second)),
            ("-1.5h", Some(-5400 * second)),
            ("+1.5s", Some(second + second / 2)),
            ("1 day", Some(24 * 3600 * second)),
            ("2 weeks", Some(14 * 24 * 3600 * second)),
            (".5ms", Some(500_000)),
            ("0.0000000001s", Some(0)),
            ("0", Some(0)),
            ("-0", Some(0)),
            ("", None),
            ("-", None),
            ("--1s", None),
            (".s", None),
            ("1.2.3s", None),
            ("1", None),
            ("1 fortnight", None),
            ("9223372036s", Some(9_223_372_036 * second)),
            ("9223372037s", None),
            ("99999999999999999999999999999999999999999s", None),
        ];
        for (text, expect) in cases {
            assert_eq!(nanoseconds(text), expect, "{text}");
        }
    }

    #[test]
    fn formats_accept_what_kubernetes_accepts() {
        let cases = [
            ("date-time", "2024-01-02T03:04:05Z", true),
            ("date-time", "2024-01-02T03:04:05.123+02:00", true),
            ("date-time", "2024-01-02", false),
            ("date-time", "yesterday", false),
            ("date", "2024-01-02", true),
            ("date", "2024-13-02", false),
            ("duration", "1h30m", true),
            ("duration", "1.5s", true),
            ("duration", "ten", false),
            ("ipv4", "10.0.0.1", true),
            ("ipv6", "10.0.0.1", false),
            ("cidr", "10.0.0.0/33", false),
            ("mac", "00:11:22:33:44:55", true),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", true),
            ("uuid4", "123e4567-e89b-12d3-a456-426614174000", false),
            ("hostname", "a.example.com", true),
            ("hostname", "-a", false),
            ("email", "a@b.c", true),
            ("uri", "https://x/y", true),
            ("uri", "x y", false),
            ("byte", "aGk=", true),
            ("byte", "!!", false),
            ("unheard-of", "anything", true),
        ];
        for (name, text, expect) in cases {
            assert_eq!(accepts(name, text), expect, "{name} {text}");
        }
    }
}

//! Recognises the string formats that a schema can ask for.
//!
//! Does not know formats Kubernetes ignores: those accept anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a string has the format.
pub(super) fn accepts(name: &str, text: &str) -> bool {
    match name {
        "date-time" | "datetime" => is_date_time(text),
        "date" => text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10,
        "duration" => is_duration(text),
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

/// Go's durations, and the spelled-out ones that the API server also takes.
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 8] = ["ns", "us", "µs", "ms", "s", "m", "h", "d"];
    const WORDS: [&str; 8] = [
        "second", "seconds", "minute", "minutes", "hour", "hours", "day", "days",
    ];
    let rest = text.trim_start_matches(['-', '+']);
    if rest == "0" {
        return true;
    }
    let mut left = rest;
    let mut parts = 0;
    while !left.is_empty() {
        let digits = left
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(left.len());
        let unit_from = &left[digits..];
        let unit = unit_from.trim_start();
        let end = unit
            .find(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
            .unwrap_or(unit.len());
        if digits == 0
            || !(UNITS.contains(&&unit[..end])
                || WORDS.contains(&&unit[..end])
                || unit[..end] == *"w")
        {
            return false;
        }
        left = unit[end..].trim_start();
        parts += 1;
    }
    parts > 0
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

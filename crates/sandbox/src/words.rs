//! Puts file names, sizes, times and counts into words a person reads.
//! Knows nothing of what is being described.

use std::{os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

const KIB: f64 = 1024.0;

/// A file name as one printable line, whatever bytes it is made of.
pub(crate) fn path(path: &Path) -> String {
    match path.to_str() {
        Some(text) if !text.is_empty() && !text.chars().any(char::is_control) => text.to_owned(),
        Some(text) => format!("{text:?}"),
        None => format!("\"{}\"", path.as_os_str().as_bytes().escape_ascii()),
    }
}

/// `0 B`, `512 B`, `1.5 KiB`, `12 MiB`: two digits that say something, never more than needed.
#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < KIB {
            return if value >= 10.0 || value.fract() < 0.05 {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= KIB;
    }
    format!("{value:.0} PiB")
}

/// `3 ms`, `0.4 s`, `12 s`, `2 min 5 s`.
pub(crate) fn lasted(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.0995 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 60.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

/// `1 file`, `1 204 files`: thousands apart, so that a reader need not count digits.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + 8);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text.push(' ');
    text.push_str(if number == 1 { one } else { many });
    text
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_name_never_breaks_the_line() {
        assert_eq!(path(Path::new("a b/ü")), "a b/ü");
        assert_eq!(path(Path::new("line\nbreak")), r#""line\nbreak""#);
        assert_eq!(
            path(Path::new(OsStr::from_bytes(b"x\xff\xfe"))),
            r#""x\xff\xfe""#
        );
        assert_eq!(path(Path::new("")), r#""""#);
    }

    #[test]
    fn sizes_and_times_keep_two_digits() {
        let sizes = [0, 1023, 1024, 1536, 12 << 20, 1 << 30, 5 << 40];
        assert_eq!(
            sizes.map(size),
            [
                "0 B", "1023 B", "1 KiB", "1.5 KiB", "12 MiB", "1 GiB", "5 TiB"
            ]
        );
        let times = [3, 99, 100, 9_940, 12_000, 125_000].map(Duration::from_millis);
        assert_eq!(
            times.map(lasted),
            ["3 ms", "99 ms", "0.1 s", "9.9 s", "12 s", "2 min 5 s"]
        );
    }

    #[test]
    fn counts_agree_in_number() {
        assert_eq!(count(1, "file", "files"), "1 file");
        assert_eq!(count(0, "file", "files"), "0 files");
        assert_eq!(
            count(1_234_567, "file", "files"),
            "1\u{202f}234\u{202f}567 files"
        );
    }

    #[test]
    fn hexadecimal_has_two_digits_a_byte() {
        assert_eq!(hex(&[0, 0x0f, 0xa5, 0xff]), "000fa5ff");
    }
}

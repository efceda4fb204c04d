//! Reads sizes as people write them in Kubernetes: `20Gi`, `500M`, `1073741824`.

const UNITS: [(&str, u64); 9] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("", 1),
];

/// In bytes; or, in words, what is wrong with the text.
pub fn read(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|it: char| it.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let factor = UNITS.iter().find(|(name, _)| *name == unit);
    let number = digits.parse::<u64>().ok();
    match (number, factor) {
        (Some(number), Some((_, factor))) => number
            .checked_mul(*factor)
            .ok_or_else(|| format!("{text:?} is more than a number of 64 bits can hold")),
        _ => Err(format!(
            "{text:?} is no size; write a whole number of bytes, or one with Ki, Mi, Gi or Ti"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_kubernetes_does() {
        assert_eq!(read("20Gi"), Ok(20 << 30));
        assert_eq!(read("512Mi"), Ok(512 << 20));
        assert_eq!(read("3G"), Ok(3_000_000_000));
        assert_eq!(read("42"), Ok(42));
        for bad in [
            "",
            "Gi",
            "1.5Gi",
            "-1",
            "1 Gi",
            "1gi",
            "1Gi ",
            "99999999Ti",
            "1é",
        ] {
            let problem = read(bad).unwrap_err();
            assert!(problem.contains(&format!("{bad:?}")), "{problem}");
        }
    }
}

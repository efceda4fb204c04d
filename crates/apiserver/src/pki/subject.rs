//! Writes the subject of a client certificate: one common name (the user) and any number of organizations (its groups).
//!
//! The certificate library keeps one value per attribute type, so a certificate it made is taken apart, given its
//! subject and signed again. Knows DER (X.690) only as far as that takes; knows nothing of trust or validity.

use rcgen::{KeyPair, SigningKey};
use rustls_pki_types::CertificateDer;

/// What went wrong while a subject was put in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubjectError {
    #[error("the certificate to be re-signed is not the expected DER structure")]
    Structure,
    #[error("cannot sign the certificate with the CA's key")]
    Sign(#[source] rcgen::Error),
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const BIT_STRING: u8 = 0x03;
/// id-at-commonName, 2.5.4.3 (X.520).
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// id-at-organizationName, 2.5.4.10 (X.520).
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
/// Place of the subject in a v3 TBSCertificate (RFC 5280, 4.1): version, serial, algorithm, issuer, validity, subject.
const SUBJECT: usize = 5;

/// The same certificate with the given subject, signed anew by `ca_key`.
pub(crate) fn with_subject(
    certificate: &CertificateDer<'_>,
    user: &str,
    groups: &[&str],
    ca_key: &KeyPair,
) -> Result<CertificateDer<'static>, SubjectError> {
    let outer = children(certificate)?;
    let [to_be_signed, algorithm, _signature] = outer[..] else {
        return Err(SubjectError::Structure);
    };
    let subject = name(user, groups);
    let mut fields = children(to_be_signed)?;
    *fields.get_mut(SUBJECT).ok_or(SubjectError::Structure)? = &subject;
    let to_be_signed = tagged(SEQUENCE, &fields.concat());
    let mut signature = vec![0]; // No unused bits at the end of the bit string.
    signature.extend(ca_key.sign(&to_be_signed).map_err(SubjectError::Sign)?);
    let signature = tagged(BIT_STRING, &signature);
    let whole = [&to_be_signed, algorithm, &signature].concat();
    Ok(tagged(SEQUENCE, &whole).into())
}

fn name(user: &str, groups: &[&str]) -> Vec<u8> {
    let organizations = groups.iter().map(|group| attribute(ORGANIZATION, group));
    let mut parts: Vec<u8> = organizations.flatten().collect();
    parts.extend(attribute(COMMON_NAME, user));
    tagged(SEQUENCE, &parts)
}

fn attribute(kind: &[u8], value: &str) -> Vec<u8> {
    let pair = [
        tagged(OBJECT_ID, kind),
        tagged(UTF8_STRING, value.as_bytes()),
    ]
    .concat();
    tagged(SET, &tagged(SEQUENCE, &pair))
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = &length[content.len().leading_zeros() as usize / 8..];
    match significant {
        [] => out.push(0),
        [short @ 0..=0x7f] => out.push(*short),
        long => {
            // X.690, 8.1.3.5: the long form first tells how many length octets follow.
            // At most eight of them, the size of a usize.
            out.push(0x80 | long.len().to_be_bytes()[size_of::<usize>() - 1]);
            out.extend(long);
        }
    }
    out.extend(content);
    out
}

/// The elements inside one constructed element, each with its tag and length.
fn children(element: &[u8]) -> Result<Vec<&[u8]>, SubjectError> {
    let (header, length) = header(element)?;
    let mut rest = element
        .get(header..header + length)
        .ok_or(SubjectError::Structure)?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (header, length) = self::header(rest)?;
        let (child, after) = rest
            .split_at_checked(header + length)
            .ok_or(SubjectError::Structure)?;
        found.push(child);
        rest = after;
    }
    Ok(found)
}

/// Length of an element's header and of its content.
fn header(element: &[u8]) -> Result<(usize, usize), SubjectError> {
    match element {
        [_tag, short @ 0..=0x7f, ..] => Ok((2, usize::from(*short))),
        [_tag, long @ 0x81..=0x84, rest @ ..] => {
            let count = usize::from(long & 0x7f);
            let digits = rest.get(..count).ok_or(SubjectError::Structure)?;
            let length = digits
                .iter()
                .fold(0, |sum: usize, digit| (sum << 8) | usize::from(*digit));
            Ok((2 + count, length))
        }
        _ => Err(SubjectError::Structure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_and_read_in_short_and_long_form() {
        for size in [0, 1, 127, 128, 255, 256, 70_000] {
            let element = tagged(SEQUENCE, &vec![7; size]);
            let (header, length) = header(&element).expect("well formed");
            assert_eq!((length, header + length), (size, element.len()), "{size}");
        }
    }

    #[test]
    fn a_cut_off_element_is_refused_and_not_read_past_its_end() {
        let mut element = tagged(SEQUENCE, &tagged(UTF8_STRING, b"abc"));
        element.truncate(5);
        assert!(children(&element).is_err());
        assert!(children(&[]).is_err());
    }
}

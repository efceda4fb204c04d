//! Signs and checks JSON Web Tokens with one key: ES256, compact form (RFC 7515; RFC 7518, 3.4).
//!
//! Takes only what it signed itself, so there is no algorithm to choose. Does not know the claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const ALGORITHM: &str = "ES256";
/// How the DER form of every P-256 public key begins (RFC 5480); the point follows.
const SPKI_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A,
    0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Of each coordinate of a point, in bytes; one byte before them says that none is left out.
const COORDINATE: usize = 32;

/// The key cannot sign: it is not a P-256 key in PKCS #8.
#[derive(Debug, thiserror::Error)]
#[error("the key for service account tokens cannot be used: {0}")]
pub struct KeyError(ring::error::KeyRejected);

/// A private key, and the name that its signatures carry.
pub(super) struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    id: String,
}

impl SigningKey {
    pub(super) fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
            .map_err(KeyError)?;
        let spki = [&SPKI_HEAD[..], pair.public_key().as_ref()].concat();
        let id = BASE64.encode(Sha256::digest(spki));
        Ok(Self { pair, random, id })
    }

    /// A token with these claims; none only if the system has no random numbers.
    pub(super) fn sign(&self, claims: &Value) -> Option<String> {
        let header = json!({"alg": ALGORITHM, "kid": self.id});
        let mut token = [&header, claims]
            .map(|part| BASE64.encode(part.to_string()))
            .join(".");
        let signature = self.pair.sign(&self.random, token.as_bytes()).ok()?;
        token.push('.');
        token.push_str(&BASE64.encode(signature));
        Some(token)
    }

    /// The claims of a token that this key signed.
    pub(super) fn verify(&self, token: &str) -> Option<Vec<u8>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Value = serde_json::from_slice(&BASE64.decode(header).ok()?).ok()?;
        if header["alg"] != ALGORITHM || header["kid"] != self.id.as_str() {
            return None;
        }
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key());
        key.verify(signed.as_bytes(), &BASE64.decode(signature).ok()?)
            .ok()?;
        BASE64.decode(claims).ok()
    }

    /// The public key, for others to check tokens with (RFC 7517).
    pub(super) fn public(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(COORDINATE.min(point.len() - 1));
        json!({
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": ALGORITHM,
            "x": BASE64.encode(x), "y": BASE64.encode(y),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        let pair = rcgen::KeyPair::generate().unwrap();
        SigningKey::from_pkcs8(&pair.serialize_der()).unwrap()
    }

    #[test]
    fn a_token_is_good_only_as_it_was_signed() {
        let (ours, other) = (key(), key());
        let token = ours.sign(&json!({"sub": "a"})).unwrap();
        assert_eq!(ours.verify(&token).unwrap(), br#"{"sub":"a"}"#);
        assert!(other.verify(&token).is_none());
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(ours.verify(&changed).is_none(), "{at}");
        }
        for bad in ["", ".", "..", "a.b.c", "…"] {
            assert!(ours.verify(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_token_without_a_signature_is_refused() {
        let ours = key();
        let part = |value: Value| BASE64.encode(value.to_string());
        let (none, claims) = (json!({"alg": "none", "kid": ours.id}), json!({"sub": "a"}));
        let token = format!("{}.{}.", part(none), part(claims));
        assert!(ours.verify(&token).is_none());
    }

    #[test]
    fn the_published_key_is_the_one_that_signs() {
        let ours = key();
        let public = ours.public();
        let coordinate = |name: &str| BASE64.decode(public[name].as_str().unwrap()).unwrap();
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        assert_eq!(point, ours.pair.public_key().as_ref());
        let spki = rcgen::KeyPair::generate().unwrap();
        let der = rcgen::PublicKeyData::subject_public_key_info(&spki);
        assert!(der.starts_with(&SPKI_HEAD), "{der:?}");
    }
}

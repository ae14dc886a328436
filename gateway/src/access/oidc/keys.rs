//! The keys of an issuer (a JWK set), and the signatures that they verify. Pure.
//!
//! Keys are public ones: a token cannot choose an algorithm with a shared secret, or none. Source: RFC 7517, RFC 7518.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde_json::Value;
use steadfast_bounds::json;

use super::token::{Refusal, Token};

/// Keys of an issuer; more are not looked at.
const MAX_KEYS: usize = 100;

/// The keys of an issuer.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The one algorithm that the issuer uses it with, where it says so.
    algorithm: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// A point of P-256, uncompressed.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct SetJson {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct KeyJson {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a JWK set. Keys of unknown kinds and keys for encryption are left out.
    pub(super) fn read(text: &[u8]) -> Result<Self, json::ReadError> {
        let set: SetJson = json::read(text)?;
        let keys = set.keys.into_iter().take(MAX_KEYS);
        Ok(Self(
            keys.filter_map(|key| Key::read(serde_json::from_value(key).ok()?))
                .collect(),
        ))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is a key that may have signed a token.
    pub(super) fn knows(&self, token: &Token<'_>) -> bool {
        self.candidates(token).next().is_some()
    }

    /// Verifies the signature of a token.
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), Refusal> {
        let mut candidates = self.candidates(token).peekable();
        if candidates.peek().is_none() {
            return Err(Refusal::UnknownKey);
        }
        if candidates.any(|key| key.material.has_signed(token)) {
            Ok(())
        } else {
            Err(Refusal::Signature)
        }
    }

    /// The keys with the id that the token names; all where it names none.
    fn candidates<'a>(&'a self, token: &'a Token<'_>) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(|key| {
            (token.key_id.is_none() || key.id == token.key_id)
                && key
                    .algorithm
                    .as_ref()
                    .is_none_or(|algorithm| *algorithm == token.algorithm)
        })
    }
}

impl Key {
    fn read(key: KeyJson) -> Option<Self> {
        if key.r#use.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |text: Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text?).ok();
        let material = match (key.kty.as_str(), key.crv.as_deref()) {
            ("RSA", _) => Material::Rsa {
                modulus: bytes(key.n)?,
                exponent: bytes(key.e)?,
            },
            ("EC", Some("P-256")) => Material::P256(point(&bytes(key.x)?, &bytes(key.y)?)),
            ("EC", Some("P-384")) => Material::P384(point(&bytes(key.x)?, &bytes(key.y)?)),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(key.x)?),
            _ => return None,
        };
        Some(Self {
            id: key.kid,
            algorithm: key.alg,
            material,
        })
    }
}

/// A point of a curve, uncompressed. Source: SEC 1, 2.3.3
fn point(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
}

impl Material {
    fn has_signed(&self, token: &Token<'_>) -> bool {
        let verifies = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key)
                .verify(token.signed, &token.signature)
                .is_ok()
        };
        match (self, token.algorithm.as_str()) {
            (Self::Rsa { modulus, exponent }, algorithm) => {
                let parameters = match algorithm {
                    "RS256" => &RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &RSA_PSS_2048_8192_SHA256,
                    "PS384" => &RSA_PSS_2048_8192_SHA384,
                    "PS512" => &RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                let key = RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                };
                key.verify(parameters, token.signed, &token.signature).is_ok()
            }
            (Self::P256(point), "ES256") => verifies(&ECDSA_P256_SHA256_FIXED, point),
            (Self::P384(point), "ES384") => verifies(&ECDSA_P384_SHA384_FIXED, point),
            (Self::Ed25519(point), "EdDSA" | "Ed25519") => verifies(&ED25519, point),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steadfast_testkit::SigningKey;

    use super::*;

    fn key(id: &str) -> SigningKey {
        SigningKey::new(id).unwrap()
    }

    fn verdict(keys: &Value, token: &str) -> Result<(), Refusal> {
        let keys = KeySet::read(keys.to_string().as_bytes()).unwrap();
        keys.verify(&Token::read(token).unwrap())
    }

    #[test]
    fn a_signature_is_that_of_the_key_which_the_token_names() {
        let (issuer, other) = (key("a"), key("b"));
        let token = issuer.token(&json!({"sub": "alice"})).unwrap();
        assert_eq!(verdict(&issuer.key_set(), &token), Ok(()));
        assert_eq!(verdict(&other.key_set(), &token), Err(Refusal::UnknownKey));
        // Another key under the same id.
        assert_eq!(verdict(&key("a").key_set(), &token), Err(Refusal::Signature));
        let (rest, _) = token.rsplit_once('.').unwrap();
        let forged = key("a").token(&json!({"sub": "bob"})).unwrap();
        let (_, signature) = forged.rsplit_once('.').unwrap();
        assert_eq!(
            verdict(&issuer.key_set(), &format!("{rest}.{signature}")),
            Err(Refusal::Signature)
        );
    }

    #[test]
    fn no_token_chooses_an_algorithm_that_the_key_is_not_for() {
        let issuer = key("a");
        for algorithm in ["none", "HS256", "RS256", "ES384", "ES512"] {
            let header = json!({"alg": algorithm, "kid": "a"});
            let token = issuer.token_with_header(&header, &json!({"sub": "alice"})).unwrap();
            let verdict = verdict(&issuer.key_set(), &token);
            assert!(verdict.is_err(), "{algorithm}");
        }
    }

    #[test]
    fn keys_for_encryption_and_of_unknown_kinds_are_left_out() {
        let mut key = key("a").key_set()["keys"][0].clone();
        key["use"] = json!("enc");
        let set = json!({"keys": [key, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "EC", "crv": "P-521"}, 7]});
        assert!(KeySet::read(set.to_string().as_bytes()).unwrap().is_empty());
        assert!(KeySet::read(b"{}").is_err());
    }

    /// Source: RFC 7515, A.2: the example of RSASSA-PKCS1-v1_5 SHA-256.
    #[test]
    fn the_example_of_the_specification_verifies() {
        let key = json!({"keys": [{"kty": "RSA", "e": "AQAB", "n": concat!(
            "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR",
            "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaS",
            "HSXndS5z5rexMdbBYUsLA9e-KXBd",
            "QOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGN",
            "j8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ")}]});
        let token = concat!(
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9u",
            "JdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_e",
            "SN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5",
            "AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        );
        assert_eq!(verdict(&key, token), Ok(()));
        let changed = token.replace("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Ei");
        assert_eq!(verdict(&key, &changed), Err(Refusal::Signature));
    }
}

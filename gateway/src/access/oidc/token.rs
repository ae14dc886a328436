//! A signed token of an OpenID Connect issuer, and the user that it names. Pure.
//!
//! Claims become a user as the Kubernetes API server does it, so that the same bindings hold at both.
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens>

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use steadfast_bounds::json;

use super::OidcSettings;
use crate::access::{AUTHENTICATED, MAX_GROUPS, User, is_reserved};

/// How far the clocks of the issuer and of the gateway may be apart.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(30);

/// A token that has been taken apart. Nothing in it is true before its signature has been verified.
#[derive(Debug)]
pub(in crate::access) struct Token<'a> {
    pub(super) algorithm: String,
    pub(super) key_id: Option<String>,
    claims: Map<String, Value>,
    /// What is signed.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood: none is.
    crit: Option<Value>,
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::access) enum Refusal {
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
    #[error("it has no time of expiry (exp)")]
    NoExpiry,
    #[error("it is for another audience")]
    Audience,
    #[error("it has no claim {0:?} that names a user")]
    NoUser(String),
    #[error("its e-mail address is not verified (email_verified)")]
    EmailNotVerified,
    #[error("its claim {0:?} is not a text or a list of texts")]
    Groups(String),
    #[error("it names more than {MAX_GROUPS} groups")]
    TooManyGroups,
    #[error("{0:?} is a name that Kubernetes keeps for itself: names that begin with \"system:\"")]
    Reserved(String),
    #[error("no key of the issuer signed it")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
}

impl<'a> Token<'a> {
    /// Takes a text apart; `None` where it is no token of this kind.
    pub(in crate::access) fn read(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).ok();
        let header: Header = json::read(&decoded(header)?).ok()?;
        if header.crit.is_some() {
            return None;
        }
        Some(Self {
            algorithm: header.alg,
            key_id: header.kid,
            claims: json::read(&decoded(claims)?).ok()?,
            signed: signed.as_bytes(),
            signature: decoded(signature)?,
        })
    }

    pub(in crate::access) fn is_of(&self, issuer: &str) -> bool {
        self.claims.get("iss").and_then(Value::as_str) == Some(issuer)
    }

    /// The user that the claims name, where they are valid at a time.
    pub(super) fn user(&self, settings: &OidcSettings, now: Timestamp) -> Result<User, Refusal> {
        self.check_times(now)?;
        if !texts(self.claims.get("aud")).is_some_and(|audiences| {
            audiences
                .iter()
                .any(|audience| settings.audiences.iter().any(|own| own == audience))
        }) {
            return Err(Refusal::Audience);
        }
        let claim = &settings.username_claim;
        let name = self.claims.get(claim).and_then(Value::as_str);
        let name = name
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Refusal::NoUser(claim.clone()))?;
        if claim == "email" && !matches!(self.claims.get("email_verified"), None | Some(Value::Bool(true))) {
            return Err(Refusal::EmailNotVerified);
        }
        let name = format!("{}{name}", settings.username_prefix);
        if is_reserved(&name) {
            return Err(Refusal::Reserved(name));
        }
        Ok(User {
            name,
            groups: self.groups(settings)?,
            ..User::default()
        })
    }

    fn groups(&self, settings: &OidcSettings) -> Result<Vec<String>, Refusal> {
        let claim = settings.groups_claim.as_ref();
        let named = match claim.and_then(|claim| Some((claim, self.claims.get(claim)?))) {
            None => Vec::new(),
            Some((claim, value)) => texts(Some(value)).ok_or_else(|| Refusal::Groups(claim.clone()))?,
        };
        if named.len() > MAX_GROUPS {
            return Err(Refusal::TooManyGroups);
        }
        let mut groups: Vec<String> = named
            .into_iter()
            .map(|group| format!("{}{group}", settings.groups_prefix))
            .collect();
        if let Some(reserved) = groups.iter().find(|group| is_reserved(group)) {
            return Err(Refusal::Reserved(reserved.clone()));
        }
        groups.push(AUTHENTICATED.to_owned());
        Ok(groups)
    }

    fn check_times(&self, now: Timestamp) -> Result<(), Refusal> {
        let expiry = self.time("exp").ok_or(Refusal::NoExpiry)?;
        if now.duration_since(expiry) >= CLOCK_SKEW {
            return Err(Refusal::Expired);
        }
        match self.time("nbf") {
            Some(begin) if begin.duration_since(now) > CLOCK_SKEW => Err(Refusal::NotYet),
            _ => Ok(()),
        }
    }

    /// A claim that is a number of seconds since 1970, which may have a fraction. Without one that can be read there is
    /// none; a time of expiry is needed.
    fn time(&self, claim: &str) -> Option<Timestamp> {
        let seconds = self.claims.get(claim)?.as_f64()?;
        let duration = SignedDuration::try_from_secs_f64(seconds).ok()?;
        Timestamp::from_duration(duration).ok()
    }
}

/// A text or a list of texts.
fn texts(value: Option<&Value>) -> Option<Vec<&str>> {
    match value? {
        Value::String(text) => Some(vec![text]),
        Value::Array(texts) => texts.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-11-28T12:00:00Z";
    const NOW_SECONDS: i64 = 1_795_867_200;

    fn settings() -> OidcSettings {
        OidcSettings {
            groups_claim: Some("groups".to_owned()),
            groups_prefix: "oidc:".to_owned(),
            ..OidcSettings::new("https://issuer.example.com", &["steadfast"])
        }
    }

    fn user_of(claims: &Value, settings: &OidcSettings) -> Result<User, Refusal> {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}.{}", part(&json!({"alg": "RS256"})), part(claims), "c2ln");
        Token::read(&text).unwrap().user(settings, NOW.parse().unwrap())
    }

    fn claims() -> Value {
        json!({
            "iss": "https://issuer.example.com", "aud": "steadfast", "sub": "alice", "exp": NOW_SECONDS + 60,
            "groups": ["poets"],
        })
    }

    fn with(claim: &str, value: Value) -> Result<User, Refusal> {
        let mut claims = claims();
        claims[claim] = value;
        user_of(&claims, &settings())
    }

    #[test]
    fn claims_become_a_user_as_the_api_server_names_one() {
        let user = user_of(&claims(), &settings()).unwrap();
        assert_eq!(
            user,
            User {
                name: "https://issuer.example.com#alice".to_owned(),
                groups: vec!["oidc:poets".to_owned(), "system:authenticated".to_owned()],
                ..User::default()
            }
        );
        assert_eq!(with("groups", json!("one")).unwrap().groups[0], "oidc:one");
        assert_eq!(with("aud", json!(["other", "steadfast"])).unwrap(), user);
    }

    #[test]
    fn a_token_is_valid_within_its_times_and_the_skew_of_clocks() {
        for (claim, seconds, refusal) in [
            ("exp", NOW_SECONDS - 29, None),
            ("exp", NOW_SECONDS - 30, Some(Refusal::Expired)),
            ("nbf", NOW_SECONDS + 30, None),
            ("nbf", NOW_SECONDS + 31, Some(Refusal::NotYet)),
        ] {
            assert_eq!(with(claim, json!(seconds)).err(), refusal, "{claim} {seconds}");
        }
        assert!(with("exp", json!(1_795_867_260.5)).is_ok());
        for unreadable in [json!("soon"), json!(1e300), json!(null), json!([])] {
            assert_eq!(with("exp", unreadable), Err(Refusal::NoExpiry));
        }
    }

    #[test]
    fn what_does_not_name_a_user_for_this_gateway_is_refused() {
        assert_eq!(with("aud", json!("other")), Err(Refusal::Audience));
        assert_eq!(with("aud", json!(null)), Err(Refusal::Audience));
        assert_eq!(with("sub", json!("")), Err(Refusal::NoUser("sub".to_owned())));
        assert_eq!(with("sub", json!(7)), Err(Refusal::NoUser("sub".to_owned())));
        assert_eq!(with("groups", json!([1])), Err(Refusal::Groups("groups".to_owned())));
        assert_eq!(with("groups", json!(vec!["g"; 201])), Err(Refusal::TooManyGroups));
    }

    #[test]
    fn no_issuer_makes_somebody_what_kubernetes_keeps_for_itself() {
        let bare = OidcSettings {
            username_prefix: String::new(),
            groups_prefix: String::new(),
            ..settings()
        };
        let mut admin = claims();
        admin["sub"] = json!("system:admin");
        assert_eq!(
            user_of(&admin, &bare),
            Err(Refusal::Reserved("system:admin".to_owned()))
        );
        let mut master = claims();
        master["groups"] = json!(["system:masters"]);
        assert_eq!(
            user_of(&master, &bare),
            Err(Refusal::Reserved("system:masters".to_owned()))
        );
    }

    #[test]
    fn an_address_counts_when_the_issuer_has_verified_it() {
        let by_email = OidcSettings {
            username_claim: "email".to_owned(),
            username_prefix: String::new(),
            ..settings()
        };
        for (verified, refusal) in [
            (json!(true), None),
            (json!(false), Some(Refusal::EmailNotVerified)),
            (json!("true"), Some(Refusal::EmailNotVerified)),
        ] {
            let mut claims = claims();
            claims["email"] = json!("alice@example.com");
            claims["email_verified"] = verified;
            assert_eq!(user_of(&claims, &by_email).err(), refusal);
        }
        let mut claims = claims();
        claims["email"] = json!("alice@example.com");
        assert_eq!(user_of(&claims, &by_email).unwrap().name, "alice@example.com");
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in ["", "a.b", "a.b.c", "eyJhbGciOiJSUzI1NiJ9.W10.c2ln", "sfk_abc"] {
            assert!(Token::read(text).is_none(), "{text}");
        }
        let critical = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","crit":["x"]}"#);
        assert!(Token::read(&format!("{critical}.e30.c2ln")).is_none());
    }
}

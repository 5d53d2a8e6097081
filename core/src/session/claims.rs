//! What an ID token or the userinfo endpoint says of the user. All of it is untrusted text for a screen.

use core::fmt;
use std::sync::Arc;

use crate::jose::id_token::IdTokenClaims;
use crate::wire::json::{Object, Value};

/// Validated claims. Their text comes from the server's directory: show it as text, never as markup (row 256).
#[derive(Clone)]
pub struct Claims(Source);

#[derive(Clone)]
enum Source {
    IdToken(Arc<IdTokenClaims>),
    UserInfo(Arc<Object>),
}

impl Claims {
    pub(crate) fn new(claims: Arc<IdTokenClaims>) -> Self {
        Self(Source::IdToken(claims))
    }

    pub(crate) fn of_object(object: Object) -> Self {
        Self(Source::UserInfo(Arc::new(object)))
    }

    fn object(&self) -> &Object {
        match &self.0 {
            Source::IdToken(claims) => &claims.raw,
            Source::UserInfo(object) => object,
        }
    }

    /// `sub`: the user's identifier at the issuer; the only claim to recognise a user by.
    pub fn subject(&self) -> &str {
        self.text("sub").unwrap_or_default()
    }

    /// `name`, if the server gave it.
    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    /// `preferred_username`, if the server gave it.
    pub fn preferred_username(&self) -> Option<&str> {
        self.text("preferred_username")
    }

    /// `email`, if the server gave it.
    pub fn email(&self) -> Option<&str> {
        self.text("email")
    }

    /// Any claim that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.object().str(name)
    }

    /// Any claim that is a whole number, such as `auth_time`.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.object().i64(name)
    }

    /// Any claim that is true or false, such as `email_verified`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.object().get(name) {
            Some(Value::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// Any claim that is a list of texts, such as `amr`; other members are left out.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let list = self.object().get(name).and_then(Value::as_array).unwrap_or_default();
        list.iter().filter_map(Value::as_str).collect()
    }
}

impl fmt::Debug for Claims {
    /// Names only: the values are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.object().iter().map(|(name, _)| name);
        f.debug_tuple("Claims").field(&names.collect::<Vec<_>>()).finish()
    }
}

//! The words that the screens of a terminal and of a script share.

use directauth::{Factor, Session, Step};

pub(crate) const THE_PASSWORD: &str = "the password";
pub(crate) const THE_FACTOR: &str = "this factor";
pub(crate) const THE_CODE: &str = "the code";
pub(crate) const THE_PUSH: &str = "the push";

/// What a sign-in has come to; nothing if no request was needed to come back to the choice.
pub(crate) fn reached(step: &Step, requests: usize) -> Option<String> {
    Some(match step {
        Step::SignedIn(session) => format!("signed in as {}", name(session)),
        Step::ChooseFactor(_) if requests == 0 => return None,
        Step::ChooseFactor(_) => "the server asks for one more factor".to_owned(),
        Step::ApproveOnDevice(_) => "push sent".to_owned(),
        Step::EnterCode(entry) if entry.channel() == Factor::Otp => "the server asks for a code".to_owned(),
        Step::EnterCode(entry) => format!("code sent by {}", way(entry.channel())),
        _ => "the server asks for something new".to_owned(),
    })
}

/// The user's name as the server says it, or as it was typed.
pub(crate) fn name(session: &Session) -> String {
    let claims = session.claims();
    claims.as_ref().and_then(|claims| claims.name()).map_or_else(|| session.username(), str::to_owned)
}

/// A factor, for a list.
pub(crate) fn describe(factor: Factor) -> &'static str {
    match factor {
        Factor::Otp => "code from an authenticator app",
        Factor::Push => "push to your device",
        Factor::Sms => "code by text message",
        Factor::Voice => "code by phone call",
        Factor::Email => "code by e-mail",
        _ => "another factor",
    }
}

/// How a code comes.
pub(crate) fn way(factor: Factor) -> &'static str {
    match factor {
        Factor::Otp => "authenticator app",
        Factor::Push => "push",
        Factor::Sms => "text message",
        Factor::Voice => "phone call",
        Factor::Email => "e-mail",
        _ => "message",
    }
}

//! What a resource server says with a 401: the challenges of `WWW-Authenticate`.
//!
//! RFC 9110 §11.6.1: a list of schemes, each with parameters or one token68, of one field or of several; commas separate both
//! the challenges and their parameters. What is not well-formed ends the field that it is in: of what came before it nothing
//! is lost, and nothing is guessed.

/// One challenge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// In lower case.
    pub(crate) scheme: String,
    /// Names in lower case, each once: a repeated name makes a challenge unusable (RFC 9110 §11.2).
    parameters: Vec<(String, String)>,
}

/// More than any server sends.
const MAX_FIELD: usize = 8 * 1024;
const MAX_CHALLENGES: usize = 16;
const MAX_PARAMETERS: usize = 32;

impl Challenge {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The challenges of the fields of this name, in order.
pub(crate) fn challenges<'a>(fields: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let mut found = Vec::new();
    for field in fields {
        if field.len() <= MAX_FIELD {
            read(Text(field), &mut found);
        }
    }
    found.truncate(MAX_CHALLENGES);
    found
}

fn read(mut text: Text<'_>, found: &mut Vec<Challenge>) {
    loop {
        text.skip_list();
        let Some(scheme) = text.token() else { return };
        let mut challenge = Challenge { scheme: scheme.to_ascii_lowercase(), parameters: Vec::new() };
        // A scheme alone, or followed by one space and what belongs to it.
        if text.0.is_empty() || text.0.trim_start_matches([' ', '\t']).starts_with(',') {
            found.push(challenge);
            continue;
        }
        if !text.space() {
            return;
        }
        if text.token68() {
            found.push(challenge);
            continue;
        }
        let is_whole = parameters(&mut text, &mut challenge);
        if is_whole {
            found.push(challenge);
        } else {
            return;
        }
    }
}

/// The parameters of one challenge; `false` if the field cannot be read any further.
fn parameters(text: &mut Text<'_>, challenge: &mut Challenge) -> bool {
    loop {
        let before = *text;
        text.skip_list();
        if text.0.is_empty() {
            return true;
        }
        let Some(name) = text.token() else { return false };
        if !text.equals() {
            // The next challenge begins here.
            *text = before;
            return !challenge.parameters.is_empty();
        }
        let Some(value) = text.value() else { return false };
        let name = name.to_ascii_lowercase();
        if challenge.get(&name).is_some() || challenge.parameters.len() >= MAX_PARAMETERS {
            return false;
        }
        challenge.parameters.push((name, value));
        text.skip_space();
        if !text.0.is_empty() && !text.0.starts_with(',') {
            return false;
        }
    }
}

/// What is left of a field.
#[derive(Clone, Copy)]
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    /// Spaces and empty elements (RFC 9110 §5.6.1).
    fn skip_list(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', ',']);
    }

    fn space(&mut self) -> bool {
        let before = self.0.len();
        self.skip_space();
        self.0.len() < before
    }

    fn token(&mut self) -> Option<&'a str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at_checked(end).filter(|(token, _)| !token.is_empty())?;
        self.0 = rest;
        Some(token)
    }

    /// `=` with spaces around it, but not the padding of a token68.
    fn equals(&mut self) -> bool {
        let rest = self.0.trim_start_matches([' ', '\t']);
        let Some(rest) = rest.strip_prefix('=') else { return false };
        self.0 = rest.trim_start_matches([' ', '\t']);
        true
    }

    /// One that ends its challenge: nothing but padding, then a comma or the end.
    fn token68(&mut self) -> bool {
        let is_one = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
        let rest = self.0.trim_start_matches(is_one);
        let rest = rest.trim_start_matches('=').trim_start_matches([' ', '\t']);
        let is_alone = rest.len() < self.0.len() && (rest.is_empty() || rest.starts_with(','));
        if is_alone {
            self.0 = rest;
        }
        is_alone
    }

    fn value(&mut self) -> Option<String> {
        match self.0.strip_prefix('"') {
            Some(quoted) => {
                self.0 = quoted;
                self.quoted()
            }
            None => self.token().map(str::to_owned),
        }
    }

    /// After the opening quote (RFC 9110 §5.6.4).
    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut characters = self.0.char_indices();
        loop {
            match characters.next()? {
                (at, '"') => {
                    self.0 = self.0.get(at.saturating_add(1)..)?;
                    return Some(value);
                }
                (_, '\\') => value.push(characters.next()?.1),
                (_, c) if c.is_control() && c != '\t' => return None,
                (_, c) => value.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::properties;

    proptest! {
        #![proptest_config(properties(256))]

        #[test]
        fn any_text_gives_a_bounded_list(fields in proptest::collection::vec("[ -~\\t]{0,60}|\\PC{0,40}", 0..4)) {
            let found = challenges(fields.iter().map(String::as_str));
            prop_assert!(found.len() <= MAX_CHALLENGES);
            prop_assert!(found.iter().all(|challenge| !challenge.scheme.is_empty()));
        }

        #[test]
        fn what_was_written_is_read(
            scheme in "[A-Za-z][A-Za-z0-9-]{0,10}",
            names in proptest::collection::btree_set("[a-z_]{1,8}", 1..5),
            value in "[ -~]{0,30}",
        ) {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let parameters: Vec<String> = names.iter().map(|name| format!("{name}=\"{quoted}\"")).collect();
            let field = format!("Basic realm=\"x\", {scheme} {} , Last", parameters.join(" ,"));
            let found = challenges([field.as_str()]);
            prop_assert_eq!(found.len(), 3);
            for name in &names {
                prop_assert_eq!(found[1].get(name), Some(value.as_str()));
            }
        }
    }

    fn shown(fields: &[&str]) -> Vec<String> {
        let show = |challenge: Challenge| {
            let parameters: Vec<String> = challenge.parameters.iter().map(|(n, v)| format!("{n}={v}")).collect();
            format!("{}[{}]", challenge.scheme, parameters.join(";"))
        };
        challenges(fields.iter().copied()).into_iter().map(show).collect()
    }

    #[test]
    fn lists_of_challenges() {
        for (fields, expected) in [
            (&["Bearer"][..], vec!["bearer[]"]),
            (&["Bearer realm=\"x\""], vec!["bearer[realm=x]"]),
            (
                &["Bearer error=\"invalid_token\", error_description=\"The token, alas, expired\""],
                vec!["bearer[error=invalid_token;error_description=The token, alas, expired]"],
            ),
            (
                &["Basic realm=\"a, b=\\\"c\\\"\", DPoP algs=\"ES256 RS256\", error=\"use_dpop_nonce\" , Newauth"],
                vec!["basic[realm=a, b=\"c\"]", "dpop[algs=ES256 RS256;error=use_dpop_nonce]", "newauth[]"],
            ),
            (&["Negotiate YWJj+/==, Bearer error=invalid_token"], vec!["negotiate[]", "bearer[error=invalid_token]"]),
            (&["Negotiate YWJj", "BEARER  Max_Age = 300"], vec!["negotiate[]", "bearer[max_age=300]"]),
            (&[" , ,Bearer realm=x,, error=y ,"], vec!["bearer[realm=x;error=y]"]),
            (&["Bearer, DPoP"], vec!["bearer[]", "dpop[]"]),
            (&["Bearer acr_values=\"\""], vec!["bearer[acr_values=]"]),
        ] {
            assert_eq!(shown(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn what_is_malformed_ends_its_field_and_loses_nothing_before_it() {
        for (fields, expected) in [
            (&["Basic realm=\"a\", Bearer error=\"open"][..], vec!["basic[realm=a]"]),
            (&["Bearer error=\"open", "DPoP error=\"x\""], vec!["dpop[error=x]"]),
            (&["Bearer realm=\"a\" error=\"b\""], vec![]),
            (&["Bearer realm=\"a\", realm=\"b\""], vec![]),
            (&["Bearer error=\"a\u{7}b\""], vec![]),
            (&["=, Bearer"], vec![]),
            (&["", "\"", "ä"], vec![]),
            // The whole of it is a token68.
            (&["Bearer realm="], vec!["bearer[]"]),
        ] {
            assert_eq!(shown(fields), expected, "{fields:?}");
        }
        let long = format!("Bearer error=\"{}\"", "x".repeat(MAX_FIELD));
        assert!(shown(&[&long]).is_empty(), "row 338");
        assert_eq!(shown(&["A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R"]).len(), MAX_CHALLENGES);
    }
}

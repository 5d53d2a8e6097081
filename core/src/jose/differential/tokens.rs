//! Tokens out of a seed: well-formed ones, and ones with a change or two at every level, from a claim to a bit.

use std::sync::LazyLock;

use data_encoding::BASE64URL_NOPAD;
use num_bigint::BigUint;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair};
use serde_json::{Value as Json, json};

use super::theirs::emsa_pkcs1_v1_5;
use crate::jose::id_token::{Age, AtHash, Expect};
use crate::jose::jws::Algorithm;
use crate::jose::tests::{self, ACCESS_TOKEN, CLIENT, ISSUER, NOW, at_hash};
use crate::testing::Random;
use crate::wire::json::spelling::write;

/// The emulator's public test keys.
const RSA: [&[u8]; 3] = [
    include_bytes!("../../../emulator/keys/public-test-key-1.pk8"),
    include_bytes!("../../../emulator/keys/public-test-key-2.pk8"),
    include_bytes!("../../../emulator/keys/public-test-key-3.pk8"),
];

static ACR_VALUES: LazyLock<[String; 1]> = LazyLock::new(|| ["phr".to_owned()]);

enum Signer {
    Rsa(RsaKeyPair),
    /// Modulus and private exponent.
    Numbers {
        n: BigUint,
        d: BigUint,
    },
    P256(SigningKey),
}

impl Signer {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) | Self::Numbers { .. } => "RS256",
            Self::P256(_) => "ES256",
        }
    }

    /// Deterministic, as PKCS #1 v1.5 and RFC 6979 are.
    fn sign(&self, input: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(key) => rsa_signature(key, &RSA_PKCS1_SHA256, input),
            Self::Numbers { n, d } => {
                let length = n.to_bytes_be().len();
                let signature = BigUint::from_bytes_be(&emsa_pkcs1_v1_5(input, length)).modpow(d, n).to_bytes_be();
                [vec![0; length - signature.len()], signature].concat()
            }
            Self::P256(key) => {
                let signature: Signature = key.sign(input);
                signature.to_bytes().to_vec()
            }
        }
    }
}

fn rsa_signature(key: &RsaKeyPair, padding: &'static dyn RsaEncoding, input: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(padding, &SystemRandom::new(), input, &mut signature).unwrap();
    signature
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

/// A Mersenne prime for a modulus: as good as a product to those who only compute, and its private exponent needs neither
/// a search nor a table. 65537 has an inverse for those used here.
fn mersenne(bits: u32) -> (BigUint, BigUint) {
    let one = BigUint::from(1_u8);
    let n = (&one << bits) - &one;
    let d = BigUint::from(65_537_u32).modinv(&(&n - &one)).unwrap();
    (n, d)
}

fn rsa_jwk(kid: &str, n: &BigUint, e: &str) -> Json {
    json!({"kty": "RSA", "kid": kid, "n": encode(n.to_bytes_be()), "e": e})
}

fn with(key: &Json, name: &str, value: Json) -> Json {
    let mut key = key.clone();
    key[name] = value;
    key
}

/// Where a change is made.
#[derive(Clone, Copy)]
enum Level {
    Claim,
    Date,
    Header,
    /// Rows 217 and 218: an algorithm that needs no private key, and what it would have for a signature.
    Algorithm,
    PayloadText,
    HeaderText,
    Signature,
    Token,
}

/// As often as there are cases to meet.
const LEVELS: &[Level] = &[
    Level::Claim,
    Level::Claim,
    Level::Claim,
    Level::Claim,
    Level::Date,
    Level::Date,
    Level::Date,
    Level::Header,
    Level::Header,
    Level::Algorithm,
    Level::PayloadText,
    Level::PayloadText,
    Level::HeaderText,
    Level::Signature,
    Level::Signature,
    Level::Token,
    Level::Token,
    Level::Token,
];

/// One token, and what its reader expects of it.
pub(super) struct Case {
    pub(super) token: String,
    pub(super) allowed: &'static [Algorithm],
    pub(super) expect: Expect<'static>,
    /// The changes that were made, for whoever has to find out.
    pub(super) changes: Vec<&'static str>,
}

/// Makes tokens, and publishes the keys that they are signed with.
pub(super) struct Workshop {
    random: Random,
    /// By the name of the key in a header.
    signers: Vec<(String, Signer)>,
    published: Vec<Json>,
    claim_changes: [Vec<Change>; 2],
    header_changes: Vec<Change>,
    earlier: Vec<String>,
}

impl Workshop {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let rsa = |at: usize| Signer::Rsa(RsaKeyPair::from_pkcs8(RSA[at]).unwrap());
        let [one, two, three] = RSA.map(|key| tests::rsa_jwk("", key));
        let named = |key: &Json, kid: &str| with(key, "kid", kid.into());
        // The top byte is not zero and not the order's, so it is a scalar of the group.
        let mut p256 = || {
            let bytes = (0..32).map(|at| if at == 0 { 7 } else { random.byte() }).collect::<Vec<_>>();
            SigningKey::from_slice(&bytes).unwrap()
        };
        let (p256_a, p256_b) = (p256(), p256());
        let ec_jwk = |kid: &str, key: &SigningKey| {
            let point = key.verifying_key().to_encoded_point(false);
            let [x, y] = [point.x(), point.y()].map(|coordinate| encode(coordinate.unwrap()));
            json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})
        };
        let (large_n, large_d) = mersenne(2_203);
        let (small_n, small_d) = mersenne(1_279);
        let modulus = BASE64URL_NOPAD.decode(one["n"].as_str().unwrap().as_bytes()).unwrap();
        let long_kid = "k".repeat(1_025);

        let published = vec![
            named(&one, "r1"),
            named(&two, "r2"),
            ec_jwk("e1", &p256_a),
            ec_jwk("e2", &p256_b),
            rsa_jwk("large", &large_n, "AQAB"),
            // Row 207: two keys under one name, and one key under one name twice.
            named(&one, "two"),
            named(&two, "two"),
            named(&one, "same"),
            with(&named(&one, "same"), "n", encode([&[0], modulus.as_slice()].concat()).into()),
            // Row 212.
            with(&named(&three, "enc"), "use", "enc".into()),
            with(&named(&three, "ops"), "key_ops", json!(["sign"])),
            with(&named(&three, "alg"), "alg", "RS512".into()),
            with(&ec_jwk("crv", &p256_a), "crv", "P-384".into()),
            // Weak: everybody can sign for an exponent of 1.
            rsa_jwk("small", &small_n, "AQAB"),
            with(&named(&one, "e=1"), "e", "AQ".into()),
            // Rows 208, 209 and 223.
            named(&two, &long_kid),
            with(&named(&two, "odd"), "x5c", json!(7)),
            json!({"kty": "oct", "kid": "mac", "k": encode(&modulus)}),
            json!({"kty": "RSA", "n": three["n"], "e": three["e"]}),
        ];
        let signers = [
            ("r1", rsa(0)),
            ("r2", rsa(1)),
            ("e1", Signer::P256(p256_a.clone())),
            ("e2", Signer::P256(p256_b)),
            ("large", Signer::Numbers { n: large_n, d: large_d }),
            ("two", rsa(0)),
            ("two", rsa(1)),
            ("same", rsa(0)),
            ("enc", rsa(2)),
            ("ops", rsa(2)),
            ("alg", rsa(2)),
            ("crv", Signer::P256(p256_a)),
            ("small", Signer::Numbers { n: small_n, d: small_d }),
            ("e=1", Signer::Numbers { n: BigUint::from_bytes_be(&modulus), d: BigUint::from(1_u8) }),
            (&long_kid, rsa(1)),
            ("odd", rsa(1)),
        ];
        Self {
            random,
            signers: signers.into_iter().map(|(kid, signer)| (kid.to_owned(), signer)).collect(),
            published,
            claim_changes: [mistyped_claims(), other_claims()],
            header_changes: other_headers(),
            earlier: Vec::new(),
        }
    }

    pub(super) fn published(&self) -> &[Json] {
        &self.published
    }

    pub(super) fn next(&mut self) -> Case {
        let mut changes = Vec::new();
        // None, one or two changes: with more of them, the first to be noticed hides the others.
        let how_many = *self.random.pick(&[0, 1, 1, 1, 1, 2]);
        let levels = (0..how_many).map(|_| *self.random.pick(LEVELS)).collect::<Vec<_>>();

        let at = match self.random.below(16) {
            0..=8 => self.random.below(4),
            _ => self.random.below(self.signers.len()),
        };
        let mut header = json!({"alg": self.signers[at].1.algorithm(), "kid": self.signers[at].0});
        if self.random.once_in(2) {
            header["typ"] = (*self.random.pick(&["JWT", "jwt"])).into();
        }
        let mut claims = self.claims();
        for level in &levels {
            match level {
                Level::Claim => {
                    let [mistyped, other] = &self.claim_changes;
                    let from = if self.random.once_in(3) { mistyped } else { other };
                    changes.push(change(&mut claims, self.random.pick(from)));
                }
                Level::Date => changes.push(self.change_date(&mut claims)),
                Level::Header => changes.push(change(&mut header, self.random.pick(&self.header_changes))),
                Level::Algorithm => header["alg"] = (*self.random.pick(&["HS256", "HS256", "none"])).into(),
                _ => (),
            }
        }
        let (mut header, mut claims) = (self.spell(&header), self.spell(&claims));
        for level in &levels {
            match level {
                Level::PayloadText => changes.push(damage_json(&mut self.random, &mut claims)),
                Level::HeaderText => changes.push(damage_json(&mut self.random, &mut header)),
                _ => (),
            }
        }
        let input = format!("{}.{}", encode(header), encode(claims));
        let mut signature = self.signers[at].1.sign(input.as_bytes());
        for level in &levels {
            match level {
                Level::Algorithm => changes.push(self.sign_without_a_key(&input, &mut signature)),
                Level::Signature => changes.push(self.sign_otherwise(at, &input, &mut signature)),
                _ => (),
            }
        }
        let mut token = format!("{input}.{}", encode(signature));
        for _ in levels.iter().filter(|level| matches!(level, Level::Token)) {
            changes.push(self.damage_token(&mut token));
        }
        if changes.is_empty() {
            self.earlier.truncate(7);
            self.earlier.insert(0, token.clone());
        }
        let is_rs256_only = self.random.once_in(16);
        let allowed: &[_] = if is_rs256_only { &[Algorithm::Rs256] } else { &[Algorithm::Rs256, Algorithm::Es256] };
        Case { token, allowed, expect: self.expect(), changes }
    }

    fn expect(&mut self) -> Expect<'static> {
        let random = &mut self.random;
        Expect {
            nonce: random.once_in(16).then_some("n-1"),
            max_age: random.once_in(16).then_some(60),
            acr_values: if random.once_in(16) { ACR_VALUES.as_slice() } else { &[] },
            access_token: (!random.once_in(8)).then_some(ACCESS_TOKEN),
            at_hash: if random.once_in(2) { AtHash::Required } else { AtHash::IfPresent },
            age: if random.once_in(4) { Age::Refreshed } else { Age::Fresh },
            ..tests::expect()
        }
    }

    /// Claims as Okta sends them, with other values.
    fn claims(&mut self) -> Json {
        let random = &mut self.random;
        let mut claims = tests::claims();
        let issued_at = NOW - i64::try_from(random.below(300)).unwrap();
        claims["iat"] = issued_at.into();
        claims["exp"] = (NOW + i64::try_from(random.below(7_200)).unwrap() - 119).max(issued_at + 1).into();
        claims["auth_time"] = (issued_at - i64::try_from(random.below(90)).unwrap()).into();
        claims["sub"] = format!("00u{}", text(random, 20)).into();
        claims["name"] = text(random, 30).into();
        match random.below(4) {
            0 => claims["aud"] = json!([CLIENT]),
            1 => claims["aud"] = json!([CLIENT, CLIENT]),
            _ => (),
        }
        for name in ["groups", "address", "\u{1f511}"] {
            if random.once_in(3) {
                claims[name] = value(random, 4);
            }
        }
        for (name, value) in [("nonce", "n-1"), ("acr", "phr"), ("azp", CLIENT)] {
            if random.once_in(2) {
                claims[name] = value.into();
            }
        }
        claims
    }

    /// With or without white space and escapes.
    fn spell(&mut self, json: &Json) -> Vec<u8> {
        match self.random.below(3) {
            0 => write(json, &(0..29).map(|_| self.random.byte()).collect::<Vec<_>>()).into_bytes(),
            1 => serde_json::to_vec_pretty(json).unwrap(),
            _ => serde_json::to_vec(json).unwrap(),
        }
    }

    /// A date at or beside the edge of a rule, whole or with a fraction.
    fn change_date(&mut self, claims: &mut Json) -> &'static str {
        const EDGES: &[(&str, i64)] = &[
            ("exp", -120),
            ("exp", -120),
            ("iat", 120),
            ("iat", -300),
            ("nbf", 120),
            ("auth_time", 120),
            ("auth_time", -180),
        ];
        let random = &mut self.random;
        let (name, edge) = *random.pick(EDGES);
        let date = NOW + edge + i64::try_from(random.below(5)).unwrap() - 2;
        claims[name] = match random.pick(&[0.0, 0.0, 0.0, 0.4, 0.5, 0.6]) {
            0.0 => date.into(),
            fraction => (date as f64 + fraction).into(),
        };
        // The other two may not be the reason, or only once in a while.
        if !random.once_in(4) {
            match name {
                "exp" => claims["iat"] = (NOW - 200).into(),
                "iat" => claims["exp"] = (NOW + 600).into(),
                _ => (),
            }
        }
        "a date at an edge"
    }

    fn sign_otherwise(&mut self, at: usize, input: &str, signature: &mut Vec<u8>) -> &'static str {
        let (input, signer) = (input.as_bytes(), &self.signers[at].1);
        match (self.random.below(7), signer) {
            (0, _) => {
                *signature = self.random.pick(&self.signers).1.sign(input);
                "signed by any key"
            }
            (1, Signer::Rsa(key)) => {
                *signature = rsa_signature(key, &RSA_PKCS1_SHA512, input);
                "signed with SHA-512"
            }
            (2, Signer::Rsa(key)) => {
                // The same number in the arithmetic, and no signature: RFC 8017 §5.2.2 wants it below the modulus.
                let n = BigUint::from_bytes_be(ring_modulus(key).as_slice());
                let sum = (BigUint::from_bytes_be(signature) + n).to_bytes_be();
                if sum.len() == signature.len() {
                    *signature = sum;
                }
                "a signature beyond the modulus"
            }
            (3, Signer::P256(_)) => {
                let flipped = Signature::from_slice(&signer.sign(input)).unwrap();
                let (r, s) = (flipped.r(), -*flipped.s());
                *signature = Signature::from_scalars(r.to_bytes(), s.to_bytes()).unwrap().to_bytes().to_vec();
                "the other S of the same signature"
            }
            (4, Signer::P256(_)) => {
                *signature = Signature::from_slice(&signer.sign(input)).unwrap().to_der().as_bytes().to_vec();
                "a signature in DER"
            }
            (5, _) => {
                signature.insert(0, 0);
                "a zero before the signature"
            }
            _ => {
                signature.pop();
                "a signature that is too short"
            }
        }
    }

    /// Nothing for a signature, or what everybody can compute from the public key.
    fn sign_without_a_key(&mut self, input: &str, signature: &mut Vec<u8>) -> &'static str {
        signature.clear();
        let key = self.random.pick(&self.published);
        let n = BASE64URL_NOPAD.decode(key["n"].as_str().unwrap_or_default().as_bytes()).unwrap();
        let mut mac = |secret: &[u8]| {
            let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
            signature.extend(ring::hmac::sign(&secret, input.as_bytes()).as_ref());
        };
        match self.random.below(3) {
            0 => "no signature, and none expected",
            1 => {
                mac(&n);
                "a MAC with the modulus"
            }
            _ => {
                mac(key.to_string().as_bytes());
                "a MAC with the text of a key"
            }
        }
    }

    fn damage_token(&mut self, token: &mut String) -> &'static str {
        let random = &mut self.random;
        let mut parts = token.split('.').map(str::to_owned).collect::<Vec<_>>();
        let part = random.below(parts.len());
        let at = token.floor_char_boundary(random.below(token.len() + 1));
        let what = match random.below(14) {
            0 | 1 => {
                if let Ok(mut bytes) = BASE64URL_NOPAD.decode(parts[part].as_bytes())
                    && !bytes.is_empty()
                {
                    let bit = random.below(bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    parts[part] = encode(bytes);
                }
                "one bit"
            }
            2 => {
                let other = *random.pick(&["A", "B", "_", "-", ".", "9"]);
                token.replace_range(at..token.ceil_char_boundary(at + 1).min(token.len()), other);
                return "one character";
            }
            3 => {
                token.truncate(at);
                return "the end cut off";
            }
            4 => {
                drop(token.drain(..at));
                return "the beginning cut off";
            }
            5 if !self.earlier.is_empty() => {
                let earlier = random.pick(&self.earlier).split('.').nth(part.min(2)).unwrap();
                earlier.clone_into(&mut parts[part]);
                "a part of another token"
            }
            6 => {
                parts[part].push_str(random.pick::<&str>(&["=", "==", "==="]));
                "padding"
            }
            7 => {
                token.insert_str(at, random.pick::<&str>(&[" ", "\n", "\t", "\r\n", "\u{a0}", "\0"]));
                return "white space";
            }
            8 => {
                // The last character of a part whose bytes do not fill it: its lowest bits belong to no byte.
                const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
                let last = parts[part].pop();
                let value = last.and_then(|last| ALPHABET.iter().position(|one| char::from(*one) == last));
                parts[part].extend(value.map(|value| char::from(ALPHABET[value ^ 1])));
                "bits that belong to no byte"
            }
            9 => {
                let more = *random.pick(&[1, 2, 3]);
                parts.extend((0..more).map(|_| "AAAA".to_owned()));
                "more parts"
            }
            10 => {
                parts.truncate(random.below(3));
                "fewer parts"
            }
            11 => {
                parts.get_mut(2).into_iter().for_each(String::clear);
                "no signature"
            }
            12 => {
                *token = token.replace('-', "+").replace('_', "/");
                return "the other base64";
            }
            _ => {
                let other = random.below(parts.len());
                parts.swap(0, other);
                "parts exchanged"
            }
        };
        *token = parts.join(".");
        what
    }
}

fn ring_modulus(key: &RsaKeyPair) -> Vec<u8> {
    ring::signature::RsaPublicKeyComponents::<Vec<u8>>::from(key.public()).n
}

/// What it is, a name, and its new value.
type Change = (&'static str, &'static str, Json);

/// Stands for no value at all.
const MISSING: &str = "(missing)";

fn change(object: &mut Json, (what, name, value): &Change) -> &'static str {
    match value {
        Json::String(text) if text == MISSING => drop(object.as_object_mut().unwrap().remove(*name)),
        value => object[*name] = value.clone(),
    }
    what
}

fn mistyped_claims() -> Vec<Change> {
    let names = ["iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "auth_time", "acr", "azp", "at_hash"];
    let values = [json!(MISSING), json!(null), json!(7), json!("x"), json!([]), json!({}), json!(-5), json!(true)];
    let all = names.into_iter().flat_map(|name| values.iter().map(move |value| (name, value.clone())));
    all.map(|(name, value)| ("a claim missing or mistyped", name, value)).collect()
}

fn other_claims() -> Vec<Change> {
    let large = 1_i64 << 53;
    let others = [
        ("iss", json!(format!("{ISSUER}/"))),
        ("iss", json!(ISSUER.to_uppercase())),
        ("iss", json!([ISSUER])),
        ("iss", json!([ISSUER, "https://other.example"])),
        ("aud", json!([CLIENT, "other"])),
        ("aud", json!(["other", CLIENT])),
        ("aud", json!([CLIENT, 7])),
        ("aud", json!([[CLIENT]])),
        ("aud", json!("0oa1b2c")),
        ("azp", json!("other")),
        ("azp", json!("other")),
        ("sub", json!("")),
        ("sub", json!("s".repeat(255))),
        ("sub", json!("s".repeat(256))),
        ("sub", json!("\u{1f511}".repeat(64))),
        ("exp", json!(large)),
        ("exp", json!(large + 1)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(1e18)),
        ("exp", json!(1e300)),
        ("exp", json!(NOW - 120)),
        ("exp", json!(NOW - 120)),
        ("exp", json!(NOW - 119)),
        ("exp", json!(NOW - 118)),
        ("exp", json!(NOW - 118)),
        ("iat", json!(large)),
        ("iat", json!(NOW + 115)),
        ("iat", json!(i64::MIN)),
        ("nbf", json!(large + 1)),
        ("nbf", json!(null)),
        ("nbf", json!(null)),
        ("nbf", json!(null)),
        ("nbf", json!(-1.5)),
        ("nbf", json!(NOW as f64 + 120.5)),
        ("nbf", json!(NOW as f64 + 120.6)),
        ("exp", json!(NOW as f64 - 119.5)),
        ("exp", json!(NOW as f64 - 120.4)),
        ("nonce", json!("n-2")),
        ("acr", json!("urn:okta:loa:1fa:pwd")),
        ("at_hash", json!(MISSING)),
        ("at_hash", json!(MISSING)),
        ("at_hash", json!(MISSING)),
        ("at_hash", json!(at_hash("another"))),
        ("at_hash", json!(at_hash(ACCESS_TOKEN) + "==")),
    ];
    others.into_iter().map(|(name, value)| ("another claim", name, value)).collect()
}

fn other_headers() -> Vec<Change> {
    let key = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
    let changes = [
        ("kid", json!(MISSING)),
        ("kid", json!(MISSING)),
        ("kid", json!(null)),
        ("kid", json!(7)),
        ("kid", json!("")),
        ("kid", json!("unknown")),
        ("kid", json!("R1")),
        ("kid", json!("r1")),
        ("kid", json!("r2")),
        ("kid", json!("e1")),
        ("kid", json!("mac")),
        ("alg", json!("none")),
        ("alg", json!("None")),
        ("alg", json!("HS256")),
        ("alg", json!("RS256")),
        ("alg", json!("ES256")),
        ("alg", json!("RS512")),
        ("alg", json!("PS256")),
        ("alg", json!("rs256")),
        ("alg", json!(null)),
        ("alg", json!(MISSING)),
        ("typ", json!("at+jwt")),
        ("typ", json!("dpop+jwt")),
        ("typ", json!("")),
        ("typ", json!(null)),
        ("typ", json!(7)),
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("crit", json!(null)),
        ("crit", json!("exp")),
        ("b64", json!(false)),
        ("cty", json!("JWT")),
        ("jku", json!("https://evil.example/keys")),
        ("jku", json!(7)),
        ("jwk", key),
        ("jwk", json!("AAAA")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5u", json!([])),
        ("x5c", json!(["AAAA"])),
        ("x5c", json!("AAAA")),
        ("x5t", json!(1)),
        ("enc", json!({})),
        ("zip", json!("DEF")),
        ("new", json!({"deep": [1.5, null]})),
    ];
    changes.into_iter().map(|(name, value)| ("another header member", name, value)).collect()
}

/// Changes a text that is a JSON object so that it still may be one.
fn damage_json(random: &mut Random, text: &mut Vec<u8>) -> &'static str {
    let deep = |levels: usize| format!("\"q\":{}{},", "[".repeat(levels), "]".repeat(levels));
    let (what, member) = match random.below(20) {
        0 | 1 => {
            drop(text.splice(0..0, "\u{feff}".bytes()));
            return "a byte order mark";
        }
        2 => ("a name twice", "\"sub\":\"x\",".to_owned()),
        3 | 4 => ("a name twice", "\"q\":1,\"q\":1,".to_owned()),
        5 => ("a name twice, once with an escape", "\"q\":1,\"\\u0071\":1,".to_owned()),
        6 => ("a name twice, further in", "\"q\":[{\"a\":1,\"a\":1}],".to_owned()),
        7 | 8 => ("a number beyond floats", "\"q\":-1e400,".to_owned()),
        9 => ("as deep as may be", deep(15)),
        10 => ("too deep", deep(16)),
        11 => ("far too deep", deep(200)),
        12 => ("too many values", format!("\"q\":[0{}],", ",0".repeat(20_000))),
        13 => ("too long", format!("\"q\":\"{}\",", "q".repeat(50_000))),
        14 => ("half a surrogate pair", "\"q\":\"\\ud83d\",".to_owned()),
        15 => ("a negative zero", "\"q\":-0,".to_owned()),
        16 => {
            text.extend(*random.pick(&[b" ".as_slice(), b"\0", b"{}", b",", b"\n\t"]));
            return "something after it";
        }
        17 => {
            *text = [b"[", text.as_slice(), b"]"].concat();
            return "an array";
        }
        18 => {
            let at = random.below(text.len());
            text[at] = random.byte();
            return "another byte";
        }
        _ => {
            text.truncate(random.below(text.len()));
            return "its end cut off";
        }
    };
    let behind_the_brace = text.iter().position(|byte| *byte == b'{').map_or(0, |brace| brace + 1);
    drop(text.splice(behind_the_brace..behind_the_brace, member.bytes()));
    what
}

/// Up to `length` characters.
fn text(random: &mut Random, length: usize) -> String {
    const CHARACTERS: [&str; 8] = [
        "abcXYZ019 -_",
        "\u{e4}\u{f6}\u{df}\u{e9}",
        "\u{3b1}\u{3b2}\u{430}",
        "\u{5d0}\u{5d1}\u{202e}",
        "\u{1f511}\u{200d}\u{10ffff}",
        "\"\\/<>&",
        "\0\u{1}\u{1f}\u{7f}\n\t",
        "\u{feff}\u{fffd}\u{2028}\u{e000}",
    ];
    (0..random.below(length + 1))
        .map(|_| {
            let characters = if random.once_in(2) { CHARACTERS[0] } else { *random.pick(&CHARACTERS) };
            *random.pick(&characters.chars().collect::<Vec<_>>())
        })
        .collect()
}

fn value(random: &mut Random, depth: usize) -> Json {
    match random.below(if depth == 0 { 5 } else { 8 }) {
        0 => Json::Null,
        1 => random.once_in(2).into(),
        2 => (i64::from_le_bytes(random.next().to_le_bytes()) >> random.below(64)).into(),
        3 => (f64::from_bits(random.next())).into(),
        4 => text(random, 12).into(),
        5 | 6 => (0..random.below(5)).map(|_| value(random, depth - 1)).collect::<Vec<_>>().into(),
        _ => (0..random.below(5)).map(|_| (text(random, 4), value(random, depth - 1))).collect(),
    }
}

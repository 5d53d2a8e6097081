//! Tokens that only one key can use: the checks of RFC 9449 §4.3, nonces, and what was used already (protocol.md §3).

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ring::{digest, signature};
use serde_json::{Map, Value};

use super::answer::{Refusal, Reply};
use super::catalogue;
use super::remembered::Remembered;
use super::state::Random;
use super::{Call, State};
use crate::settings::DpopPolicy;

/// How old a proof may be, or how far in the future.
const PROOF_LIFE: u64 = 300;
/// A new nonce is given out after this long, and an old one works for three days.
const NONCE_RENEWED: Duration = Duration::from_secs(86_400);
const NONCE_LIFE: Duration = Duration::from_secs(3 * 86_400);
/// How many used proofs are remembered; more than can be sent within their life.
const USED: usize = 100_000;
const LONGEST: usize = 8 * 1024;
/// What a private key has and a public one has not (RFC 7518 §6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// What one tenant remembers of proofs.
pub(crate) struct Proofs {
    used: Remembered<()>,
    nonces: Vec<(String, Duration)>,
    /// For resource servers, which have their own (RFC 9449 §9).
    resource_nonce: Option<String>,
    /// What the answer is to carry as `DPoP-Nonce`.
    pub(crate) answer: Option<String>,
}

impl Default for Proofs {
    fn default() -> Self {
        Self { used: Remembered::at_most(USED), nonces: Vec::new(), resource_nonce: None, answer: None }
    }
}

/// A proof that passed every check but those of its nonce.
pub(crate) struct Proof {
    /// The thumbprint of its key (RFC 7638).
    pub(crate) thumbprint: String,
    nonce: Option<String>,
}

impl State {
    /// The key that a token request shows, if it shows one or has to.
    pub(crate) fn token_proof(&mut self, call: &Call<'_>) -> Result<Option<Proof>, Refusal> {
        if self.settings.dpop == DpopPolicy::Off {
            return Ok(None);
        }
        match self.proof(call, None)? {
            None if self.settings.dpop == DpopPolicy::Required => {
                Err(catalogue::INVALID_DPOP_PROOF_MISSING_HEADER.into())
            }
            proof => Ok(proof),
        }
    }

    /// Refuses a token request whose proof has no nonce, or one that is over; a new one comes with the answer.
    pub(crate) fn check_nonce(&mut self, call: &Call<'_>, proof: Option<&Proof>) -> Result<(), Refusal> {
        let Some(proof) = proof.filter(|_| self.settings.dpop_nonce) else { return Ok(()) };
        self.proofs.nonces.retain(|(_, since)| call.now < since.saturating_add(NONCE_LIFE));
        let is_fresh = |since: &Duration| call.now < since.saturating_add(NONCE_RENEWED);
        if !self.proofs.nonces.last().is_some_and(|(_, since)| is_fresh(since)) {
            self.proofs.nonces.push((Random::token(16)?, call.now));
        }
        let newest = self.proofs.nonces.last().map(|(nonce, _)| nonce.clone());
        if proof.nonce != newest {
            self.proofs.answer = newest;
        }
        let is_known = self.proofs.nonces.iter().any(|(nonce, _)| proof.nonce.as_ref() == Some(nonce));
        if is_known { Ok(()) } else { Err(catalogue::USE_DPOP_NONCE.into()) }
    }

    /// The proof of a request with an access token.
    pub(crate) fn resource_proof(&mut self, call: &Call<'_>, access_token: &str) -> Result<Proof, Refusal> {
        let proof = self.proof(call, Some(access_token))?.ok_or(catalogue::DPOP_PROOF_REQUIRED_FOR_TOKEN)?;
        if self.settings.dpop_resource_nonce {
            let nonce = match &self.proofs.resource_nonce {
                Some(nonce) => nonce.clone(),
                None => self.proofs.resource_nonce.insert(Random::token(16)?).clone(),
            };
            if proof.nonce.as_ref() != Some(&nonce) {
                self.proofs.answer = Some(nonce);
                let description = "Resource server requires nonce in DPoP proof";
                let error = Some("use_dpop_nonce");
                return Err(Refusal::Resource { status: 401, scheme: "DPoP", error, description });
            }
        }
        Ok(proof)
    }

    /// The thumbprint of the key that a request shows, whether or not it is good for anything.
    pub(crate) fn shown_thumbprint(call: &Call<'_>) -> Option<String> {
        thumbprint(read(call.request.header("dpop")?)?.header.get("jwk")?.as_object()?)
    }

    fn proof(&mut self, call: &Call<'_>, access_token: Option<&str>) -> Result<Option<Proof>, Refusal> {
        let mut shown = call.request.headers.iter().filter(|(name, _)| name == "dpop").map(|(_, value)| value);
        let Some(jwt) = shown.next() else { return Ok(None) };
        if shown.next().is_some() {
            return Err(catalogue::INVALID_DPOP_PROOF_MULTIPLE_HEADERS_NOT_ALLOWED.into());
        }
        let jwt = read(jwt).filter(|_| jwt.len() <= LONGEST).ok_or(catalogue::INVALID_DPOP_PROOF_INVALID_JWT)?;
        let Jwt { header, claims, .. } = &jwt;
        let of = |name: &str| header.get(name).and_then(Value::as_str);
        if of("typ") != Some("dpop+jwt") {
            return Err(catalogue::INVALID_DPOP_PROOF_INVALID_TYPE.into());
        }
        let jwk = header.get("jwk").and_then(Value::as_object).ok_or(catalogue::INVALID_DPOP_PROOF_INVALID_JWT)?;
        if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
            return Err(catalogue::INVALID_DPOP_PROOF_INVALID_JWT.into());
        }
        let verified = match of("alg") {
            Some("ES256") => verified_es256(jwk, &jwt),
            Some("RS256") => verified_rs256(jwk, &jwt),
            _ => return Err(catalogue::INVALID_DPOP_PROOF_INVALID_SIGNATURE_ALGORITHM.into()),
        };
        let thumbprint = verified.and_then(|()| thumbprint(jwk));
        let thumbprint = thumbprint.ok_or(catalogue::INVALID_DPOP_PROOF_INVALID_SIGNATURE)?;
        self.check_claims(call, claims, access_token)?;
        let nonce = claims.get("nonce").and_then(Value::as_str).map(str::to_owned);
        Ok(Some(Proof { thumbprint, nonce }))
    }

    fn check_claims(
        &mut self,
        call: &Call<'_>,
        claims: &Map<String, Value>,
        access_token: Option<&str>,
    ) -> Result<(), Refusal> {
        let of = |name: &str| claims.get(name).and_then(Value::as_str);
        if of("htm") != Some(call.request.method.as_str()) {
            return Err(catalogue::INVALID_DPOP_PROOF_INVALID_HTM.into());
        }
        if of("htu") != Some(format!("{}{}", call.origin, call.request.path).as_str()) {
            return Err(catalogue::INVALID_DPOP_PROOF_INVALID_HTU.into());
        }
        let issued = claims.get("iat").and_then(Value::as_u64).ok_or(catalogue::INVALID_DPOP_PROOF_INVALID_IAT)?;
        if issued > call.seconds().saturating_add(PROOF_LIFE) {
            return Err(catalogue::INVALID_DPOP_PROOF_JWT_ISSUED_IN_FUTURE.into());
        }
        if issued.saturating_add(PROOF_LIFE) < call.seconds() {
            return Err(catalogue::INVALID_DPOP_PROOF_JWT_TOO_OLD.into());
        }
        let ends = claims.get("exp").map(|ends| ends.as_u64().unwrap_or_default());
        if ends.is_some_and(|ends| ends <= call.seconds()) {
            return Err(catalogue::INVALID_DPOP_PROOF_JWT_EXPIRED.into());
        }
        let hash = |token: &str| BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        if let Some(token) = access_token
            && of("ath") != Some(hash(token).as_str())
        {
            return Err(catalogue::DPOP_PROOF_INVALID_ATH.into());
        }
        let id =
            of("jti").filter(|id| (1..=256).contains(&id.len())).ok_or(catalogue::INVALID_DPOP_PROOF_INVALID_JTI)?;
        if self.proofs.used.find(id).is_some() {
            return Err(catalogue::DPOP_PROOF_ALREADY_USED.into());
        }
        self.proofs.used.add(id.to_owned(), ());
        Ok(())
    }

    /// The nonce that this answer is to bring.
    pub(crate) fn with_nonce(&mut self, reply: Reply) -> Reply {
        match self.proofs.answer.take() {
            Some(nonce) => reply.header("DPoP-Nonce", nonce),
            None => reply,
        }
    }
}

/// A compact JWT, taken apart.
struct Jwt {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// What was signed.
    message: Vec<u8>,
    signature: Vec<u8>,
}

fn read(jwt: &str) -> Option<Jwt> {
    let (message, signature) = jwt.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let object = |text: &str| serde_json::from_slice(&BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok();
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
    Some(Jwt { header: object(header)?, claims: object(claims)?, message: message.as_bytes().to_vec(), signature })
}

fn member(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(jwk.get(name)?.as_str()?.as_bytes()).ok()
}

fn verified_es256(jwk: &Map<String, Value>, signed: &Jwt) -> Option<()> {
    let of = |name: &str| jwk.get(name).and_then(Value::as_str);
    let (x, y) = (member(jwk, "x")?, member(jwk, "y")?);
    if of("kty") != Some("EC") || of("crv") != Some("P-256") || x.len() != 32 || y.len() != 32 {
        return None;
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let key = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
    key.verify(&signed.message, &signed.signature).ok()
}

fn verified_rs256(jwk: &Map<String, Value>, signed: &Jwt) -> Option<()> {
    let key = signature::RsaPublicKeyComponents { n: member(jwk, "n")?, e: member(jwk, "e")? };
    key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, &signed.message, &signed.signature).ok()
}

/// RFC 7638: the required members and no other, in lexicographic order.
fn thumbprint(jwk: &Map<String, Value>) -> Option<String> {
    let names: &[&str] = match jwk.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let member = |name: &&str| Some(format!("\"{name}\":{}", jwk.get(*name).filter(|value| value.is_string())?));
    let members: Option<Vec<String>> = names.iter().map(member).collect();
    let json = format!("{{{}}}", members?.join(","));
    Some(BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, json.as_bytes()).as_ref()))
}

//! Pins: besides everything that is checked of any certificate, one of these public keys must vouch for the server.
//!
//! docs/protocol.md VAL-5. A pin is the SHA-256 of a `SubjectPublicKeyInfo` (RFC 7469 §2.4), and what counts is the path
//! that was verified (§2.6 there): a certificate that the server merely sent along proves nothing, since anybody can send
//! anybody's certificate. Pins only ever refuse; a certificate that is not trusted without them is not trusted with them.

use core::fmt;
use std::sync::Arc;

use data_encoding::BASE64;
use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, spki_for_anchor};

use crate::error::ConfigurationProblem;

/// One pinned public key: the SHA-256 of its DER-encoded `SubjectPublicKeyInfo`.
///
/// From a certificate in PEM, as `openssl` computes it:
///
/// ```text
/// openssl x509 -in ca.pem -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    /// Reads the spelling of OkHttp, `sha256/` and base64, or the bare base64 of HPKP and of most tools.
    ///
    /// # Errors
    /// [`ConfigurationProblem::Pin`] if it is anything else: another hash, the URL alphabet, not 32 bytes, missing padding.
    pub fn parse(text: &str) -> Result<Self, ConfigurationProblem> {
        let base64 = text.strip_prefix("sha256/").unwrap_or(text);
        let bytes = BASE64.decode(base64.as_bytes()).map_err(|_| ConfigurationProblem::Pin)?;
        bytes.try_into().map(Self).map_err(|_| ConfigurationProblem::Pin)
    }

    /// From the hash itself.
    pub const fn from_sha256(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// Of a DER-encoded `SubjectPublicKeyInfo`, its outer `SEQUENCE` included.
    pub fn of_spki(spki: &[u8]) -> Self {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(digest(&SHA256, spki).as_ref()) {
            *to = *from;
        }
        Self(hash)
    }
}

impl core::str::FromStr for Pin {
    type Err = ConfigurationProblem;

    /// As [`Pin::parse`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", BASE64.encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// At least two different pins, one of which must match: keys in use, and backups for the day when those change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins(Vec<Pin>);

impl Pins {
    /// Takes the pins; repeated ones count once.
    ///
    /// # Errors
    /// [`ConfigurationProblem::TooFewPins`] if fewer than two are left.
    pub fn new(pins: impl IntoIterator<Item = Pin>) -> Result<Self, ConfigurationProblem> {
        let mut pins: Vec<Pin> = pins.into_iter().collect();
        pins.sort_unstable();
        pins.dedup();
        if pins.len() < 2 { Err(ConfigurationProblem::TooFewPins) } else { Ok(Self(pins)) }
    }

    fn hold(&self, spki: &[u8]) -> bool {
        self.0.contains(&Pin::of_spki(spki))
    }
}

/// What a handshake fails with when the certificate is good and no pin matches.
#[derive(Debug, thiserror::Error)]
#[error("none of the pins matches")]
pub(super) struct PinMismatch;

/// Everything that `authority` checks, and then the pins.
#[derive(Debug)]
pub(super) struct PinnedVerifier {
    authority: Arc<dyn ServerCertVerifier>,
    /// What `authority` builds its paths from; unknown where the platform verifies.
    path: Option<(Arc<RootCertStore>, WebPkiSupportedAlgorithms)>,
    pins: Pins,
}

impl PinnedVerifier {
    /// With the roots and algorithms of `authority`, a pin may match any key of the verified path; without, only the leaf's.
    pub(super) fn new(
        authority: Arc<dyn ServerCertVerifier>,
        path: Option<(Arc<RootCertStore>, WebPkiSupportedAlgorithms)>,
        pins: Pins,
    ) -> Self {
        Self { authority, path, pins }
    }

    /// Whether a pinned key is the verified leaf's, or part of a path that verifies.
    fn is_pinned(&self, leaf: &CertificateDer<'_>, sent: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let Ok(leaf) = EndEntityCert::try_from(leaf) else { return false };
        if self.pins.hold(&leaf.subject_public_key_info()) {
            return true;
        }
        let Some((roots, algorithms)) = &self.path else { return false };
        // Called for paths that are verified up to an authority. A refusal makes it look for another one: where authorities
        // have certified each other, the pin may be on the second path that is found.
        let is_pinned = |path: &VerifiedPath<'_>| {
            let anchor = self.pins.hold(&spki_for_anchor(path.anchor()));
            let on_the_way = || path.intermediate_certificates().any(|c| self.pins.hold(&c.subject_public_key_info()));
            if anchor || on_the_way() { Ok(()) } else { Err(webpki::Error::UnknownIssuer) }
        };
        let usage = KeyUsage::server_auth();
        leaf.verify_for_usage(algorithms.all, &roots.roots, sent, now, usage, None, Some(&is_pinned)).is_ok()
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        if self.is_pinned(end_entity, intermediates, now) {
            return Ok(verified);
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(PinMismatch)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authority.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authority.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authority.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.authority.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.authority.root_hint_subjects()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ISRG Root X1 as `openssl` computes it, and as HPKP headers of the time carried it.
    const ISRG_ROOT_X1: &str = "C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M=";

    #[test]
    fn both_spellings_are_read_and_nothing_else() {
        let pin = Pin::parse(ISRG_ROOT_X1).unwrap();
        let written = format!("sha256/{ISRG_ROOT_X1}");
        assert_eq!(written.parse::<Pin>().unwrap(), pin);
        assert_eq!((pin.to_string(), format!("{pin:?}")), (written.clone(), written));
        for bad in [
            "",
            "sha256/",
            "sha1/qvTGHdzF6KLavt4PO0gs2a6pQ00=",
            "sha1/C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M=",
            "SHA256/C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M=",
            "sha256/sha256/C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M=",
            // no padding, bits left over, the URL alphabet, white space, 31 and 33 bytes
            "C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M",
            "C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8N=",
            "C5-lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M=",
            " C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8M=",
            "C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFrw==",
            "C5+lpZ7tcVwmwQIMcRtPbsQtWLABXhQzejna0wHFr8MA",
            "0b9fa5a59eed715c26c1020c711b4f6ec42d58b0015e14337a39dad301c5afc3",
        ] {
            assert_eq!(Pin::parse(bad), Err(ConfigurationProblem::Pin), "{bad:?}");
        }
    }

    #[test]
    fn a_pin_needs_a_backup_that_is_another_key() {
        let (one, two) = (Pin::from_sha256([1; 32]), Pin::from_sha256([2; 32]));
        for few in [vec![], vec![one], vec![one, one, one]] {
            assert_eq!(Pins::new(few), Err(ConfigurationProblem::TooFewPins));
        }
        let pins = Pins::new([two, one, two]).unwrap();
        assert_eq!(pins, Pins::new([one, two]).unwrap());
    }

    #[test]
    fn the_key_of_an_authority_is_hashed_with_its_outer_sequence() {
        let pin = Pin::parse(ISRG_ROOT_X1).unwrap();
        let with_it = |anchor: &&rustls::pki_types::TrustAnchor<'_>| Pin::of_spki(&spki_for_anchor(anchor)) == pin;
        assert_eq!(webpki_roots::TLS_SERVER_ROOTS.iter().filter(with_it).count(), 1);
    }
}

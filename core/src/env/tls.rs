//! Which servers are trusted (DESIGN: our own rustls configuration on ring, no process-wide default, no way to accept
//! any certificate).

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::pins::{PinnedVerifier, Pins};
use crate::error::ConfigurationProblem;

/// Which certificate authorities vouch for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// The platform's own verifier and its settings. Not available on Android in this version.
    Platform,
    /// Mozilla's authorities, compiled in. Certificates that a user or administrator installed are not accepted.
    Bundled,
    /// Only these authorities, each as DER bytes.
    Custom(Vec<Vec<u8>>),
}

impl Trust {
    /// The authorities of a PEM text, and no others.
    ///
    /// # Errors
    /// [`ConfigurationProblem::Certificate`] if there is none in it or one cannot be read.
    pub fn from_pem(pem: &str) -> Result<Self, ConfigurationProblem> {
        let ders: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| der.map(|der| der.to_vec())).collect();
        let ders = ders.ok().filter(|ders| !ders.is_empty()).ok_or(ConfigurationProblem::Certificate)?;
        let trust = Self::Custom(ders);
        trust.check()?;
        Ok(trust)
    }

    /// Whether the certificates can be used, without touching the system.
    pub(crate) fn check(&self) -> Result<(), ConfigurationProblem> {
        match self {
            Self::Platform | Self::Bundled => Ok(()),
            Self::Custom(ders) => custom_roots(ders).map(drop),
        }
    }
}

impl Default for Trust {
    /// The platform's verifier on Apple systems and desktops, the bundled authorities on Android, where the platform's
    /// verifier needs a Java context and refuses valid certificates that name no OCSP responder.
    fn default() -> Self {
        if cfg!(target_os = "android") { Self::Bundled } else { Self::Platform }
    }
}

/// TLS 1.2 and 1.3 on ring; HTTP/1.1 only; no early data, because a replayed request is a second attempt.
///
/// A session is resumed only within the configuration it was verified in (rustls compares the verifiers), so pins hold for
/// resumed sessions too.
pub(super) fn client_config(trust: &Trust, pins: Option<&Pins>) -> Result<ClientConfig, ConfigurationProblem> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (verifier, roots) = match trust {
        Trust::Platform => (platform(&provider)?, None),
        Trust::Bundled => {
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            authorities(roots, &provider)?
        }
        Trust::Custom(ders) => authorities(custom_roots(ders)?, &provider)?,
    };
    let verifier: Arc<dyn ServerCertVerifier> = match pins {
        Some(pins) => {
            let path = roots.map(|roots| (roots, provider.signature_verification_algorithms));
            Arc::new(PinnedVerifier::new(verifier, path, pins.clone()))
        }
        None => verifier,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| ConfigurationProblem::PlatformTrust)?
        // "Dangerous" is rustls' word for any verifier that is handed over: here its own, or the platform's.
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_early_data = false;
    Ok(config)
}

/// rustls' own verifier, and what it builds its paths from.
fn authorities(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Verifier, ConfigurationProblem> {
    let roots = Arc::new(roots);
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider)).build();
    Ok((verifier.map_err(|_| ConfigurationProblem::Certificate)?, Some(roots)))
}

/// A verifier, and its authorities if it says which they are.
type Verifier = (Arc<dyn ServerCertVerifier>, Option<Arc<RootCertStore>>);

fn custom_roots(ders: &[Vec<u8>]) -> Result<RootCertStore, ConfigurationProblem> {
    let mut roots = RootCertStore::empty();
    for der in ders {
        roots.add(CertificateDer::from(der.as_slice())).map_err(|_| ConfigurationProblem::Certificate)?;
    }
    if roots.is_empty() { Err(ConfigurationProblem::Certificate) } else { Ok(roots) }
}

#[cfg(not(target_os = "android"))]
fn platform(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, ConfigurationProblem> {
    let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(provider));
    Ok(Arc::new(verifier.map_err(|_| ConfigurationProblem::PlatformTrust)?))
}

#[cfg(target_os = "android")]
fn platform(_provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, ConfigurationProblem> {
    Err(ConfigurationProblem::PlatformTrust)
}

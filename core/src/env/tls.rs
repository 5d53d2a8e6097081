//! Which servers are trusted (DESIGN: our own rustls configuration on ring, no process-wide default, no way to accept
//! any certificate).

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

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
pub(super) fn client_config(trust: &Trust) -> Result<ClientConfig, ConfigurationProblem> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| ConfigurationProblem::PlatformTrust)?;
    let mut config = match trust {
        Trust::Platform => platform(builder, provider)?,
        Trust::Bundled => {
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        Trust::Custom(ders) => builder.with_root_certificates(custom_roots(ders)?).with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_early_data = false;
    Ok(config)
}

fn custom_roots(ders: &[Vec<u8>]) -> Result<RootCertStore, ConfigurationProblem> {
    let mut roots = RootCertStore::empty();
    for der in ders {
        roots.add(CertificateDer::from(der.as_slice())).map_err(|_| ConfigurationProblem::Certificate)?;
    }
    if roots.is_empty() { Err(ConfigurationProblem::Certificate) } else { Ok(roots) }
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

#[cfg(not(target_os = "android"))]
fn platform(
    builder: Builder,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<ClientConfig, ConfigurationProblem> {
    let verifier =
        rustls_platform_verifier::Verifier::new(provider).map_err(|_| ConfigurationProblem::PlatformTrust)?;
    // "Dangerous" is rustls' word for any verifier of one's own; this one is the platform's.
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

#[cfg(target_os = "android")]
fn platform(
    _builder: Builder,
    _provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<ClientConfig, ConfigurationProblem> {
    Err(ConfigurationProblem::PlatformTrust)
}

//! The emulator's own certificate authority and the certificates it signs.
//!
//! The authority may sign for this machine and its neighbours only (RFC 5280 name constraints), so that trusting it in a
//! test device risks little. Kept in a folder it lives for 30 days; otherwise as long as the process.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData, SanType,
};
use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::names::{ALWAYS, Names};
use crate::emulator::StartError;

const LIFETIME: Duration = Duration::days(30);
/// A stored authority is replaced while it still lives this long.
const RENEW_BEFORE: Duration = Duration::days(2);

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
    names: Names,
    /// Whether it was made just now, so that nobody trusts it yet.
    pub(crate) is_new: bool,
}

/// A server's TLS set-up, and what a client can pin of it.
pub(crate) struct Server {
    pub(crate) tls: Arc<ServerConfig>,
    /// The server's own certificate.
    pub(crate) certificate: Vec<u8>,
    /// `SubjectPublicKeyInfo` of the server's key, as DER.
    pub(crate) spki: Vec<u8>,
}

/// A server whose certificate comes from an authority of its own, through an intermediate one.
pub(crate) struct Chained {
    pub(crate) server: Server,
    pub(crate) root: Vec<u8>,
    pub(crate) root_spki: Vec<u8>,
    pub(crate) intermediate_spki: Vec<u8>,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTlsKind {
    /// It has expired.
    Expired,
    /// It is for another host.
    WrongHost,
    /// It signed itself.
    SelfSigned,
    /// An authority signed it that nobody trusts.
    UnknownCa,
}

/// An authority as it is kept.
#[derive(Serialize, Deserialize)]
struct Stored {
    not_after: i64,
    /// What else than this machine and its neighbours it may sign for.
    names: Names,
    key: String,
    certificate: String,
}

impl Authority {
    /// A new authority; `names` is what else than this machine it signs for.
    pub(crate) fn create(names: Names) -> Result<Self, StartError> {
        let known = names.clone();
        Ok(Self::with_key(KeyPair::generate()?, names, &known, OffsetDateTime::now_utc())?)
    }

    /// The authority kept in `folder`, or a new one kept there from now on.
    pub(crate) fn kept_in(folder: &Path, names: Names) -> Result<Self, StartError> {
        let failed = |source| StartError::CaFolder { folder: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        // Whoever starts at the same moment waits, and then finds the authority of the first.
        let lock = fs::File::create(folder.join("authority.lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let file = folder.join("authority.json");
        let authority = match Self::read(&file, &names) {
            Ok(kept) => kept,
            Err(known) => {
                let now = OffsetDateTime::now_utc();
                let pair = KeyPair::generate()?;
                let key = pair.serialize_pem();
                let signs_for = names.beyond_the_neighbourhood().with(&known);
                let made = Self::with_key(pair, names, &signs_for, now)?;
                let not_after = (now + LIFETIME).unix_timestamp();
                let stored = Stored { not_after, names: signs_for, key, certificate: made.pem.clone() };
                let text = serde_json::to_vec(&stored).map_err(|error| failed(error.into()))?;
                replace(&file, &text, 0o600).map_err(failed)?;
                made
            }
        };
        let certificate = folder.join("ca.pem");
        if fs::read(&certificate).ok().as_deref() != Some(authority.pem.as_bytes()) {
            replace(&certificate, authority.pem.as_bytes(), 0o644).map_err(failed)?;
        }
        Ok(authority)
    }

    /// The authority in a file, if it lives long enough and may sign for `names`; otherwise the names that the one in there
    /// signs for.
    fn read(file: &Path, names: &Names) -> Result<Self, Names> {
        let stored: Option<Stored> = fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let stored = stored.ok_or_else(Names::default)?;
        let kept = || {
            let ends = OffsetDateTime::from_unix_timestamp(stored.not_after).ok()?;
            let is_ending = ends - RENEW_BEFORE < OffsetDateTime::now_utc();
            if is_ending || !stored.names.includes(&names.beyond_the_neighbourhood()) {
                return None;
            }
            let (pem, der) = (stored.certificate.clone(), der_of_pem(&stored.certificate)?);
            let pair = KeyPair::from_pem(&stored.key).ok()?;
            // Name, key and key identifier are what a signature needs of its issuer; they follow from the key.
            let issuer = Issuer::new(authority_params(&pair, &stored.names, ends - LIFETIME), pair);
            Some(Self { pem, der, issuer, names: names.clone(), is_new: false })
        };
        kept().ok_or(stored.names.clone())
    }

    /// `names` is what servers are for, `signs_for` what else than this machine it may sign for.
    fn with_key(pair: KeyPair, names: Names, signs_for: &Names, now: OffsetDateTime) -> Result<Self, rcgen::Error> {
        let params = authority_params(&pair, signs_for, now);
        let certificate = params.self_signed(&pair)?;
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Ok(Self { pem, der, issuer: Issuer::new(params, pair), names, is_new: true })
    }

    /// A server's TLS set-up with a good certificate for this machine.
    pub(crate) fn server(&self) -> Result<Server, StartError> {
        let pair = KeyPair::generate()?;
        let certificate = self.leaf_params(&["localhost"])?.signed_by(&pair, &self.issuer)?;
        Server::new(certificate.der().clone(), Vec::new(), &pair)
    }

    /// A server with a good certificate of another authority, which is made for it. After its own two certificates it
    /// sends `appended`, whatever that is.
    pub(crate) fn chained_server(&self, appended: Vec<Vec<u8>>) -> Result<Chained, StartError> {
        let now = OffsetDateTime::now_utc();
        let (root_pair, middle_pair, pair) = (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
        let (root_spki, intermediate_spki) =
            (root_pair.subject_public_key_info(), middle_pair.subject_public_key_info());
        let mut root_params = authority_params(&root_pair, &self.names, now);
        root_params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        let root = root_params.self_signed(&root_pair)?.der().to_vec();
        let root_issuer = Issuer::new(root_params, root_pair);
        let middle_params = authority_params(&middle_pair, &self.names, now);
        let middle = middle_params.signed_by(&middle_pair, &root_issuer)?.der().clone();
        let middle_issuer = Issuer::new(middle_params, middle_pair);
        let certificate = self.leaf_params(&["localhost"])?.signed_by(&pair, &middle_issuer)?;
        let sent_along = [middle].into_iter().chain(appended.into_iter().map(CertificateDer::from));
        let server = Server::new(certificate.der().clone(), sent_along.collect(), &pair)?;
        Ok(Chained { server, root, root_spki, intermediate_spki })
    }

    /// A server's TLS set-up with a certificate that no client may accept.
    pub(crate) fn bad_server(&self, kind: BadTlsKind) -> Result<Server, StartError> {
        let pair = KeyPair::generate()?;
        let mut params = self.leaf_params(&["localhost"])?;
        let certificate = match kind {
            BadTlsKind::Expired => {
                params.not_before = OffsetDateTime::now_utc() - Duration::days(20);
                params.not_after = OffsetDateTime::now_utc() - Duration::days(10);
                params.signed_by(&pair, &self.issuer)?
            }
            BadTlsKind::WrongHost => {
                params.subject_alt_names.clear();
                params.subject_alt_names.push(SanType::DnsName("elsewhere.local".try_into()?));
                params.signed_by(&pair, &self.issuer)?
            }
            BadTlsKind::SelfSigned => params.self_signed(&pair)?,
            BadTlsKind::UnknownCa => params.signed_by(&pair, &Self::create(self.names.clone())?.issuer)?,
        };
        Server::new(certificate.der().clone(), Vec::new(), &pair)
    }

    /// `SubjectPublicKeyInfo` of the authority's key, as DER.
    pub(crate) fn spki(&self) -> Vec<u8> {
        self.issuer.key().subject_public_key_info()
    }

    fn leaf_params(&self, names: &[&str]) -> Result<CertificateParams, StartError> {
        let names: Vec<String> =
            names.iter().map(|name| (*name).to_owned()).chain(self.names.hosts.iter().cloned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "DirectAuth emulator");
        for address in ALWAYS.into_iter().chain(self.names.addresses.iter().copied()) {
            let name = SanType::IpAddress(address);
            if !params.subject_alt_names.contains(&name) {
                params.subject_alt_names.push(name);
            }
        }
        let now = OffsetDateTime::now_utc();
        params.not_before = now - Duration::hours(1);
        params.not_after = now + LIFETIME - Duration::days(1);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }
}

/// The same key always gives the same name, and another key another one.
fn authority_params(pair: &KeyPair, names: &Names, now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    let digest = digest(&SHA256, pair.public_key_raw());
    let short = HEXLOWER.encode(digest.as_ref().get(..4).unwrap_or_default());
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, format!("DirectAuth emulator test CA {short}"));
    params.not_before = now - Duration::hours(1);
    params.not_after = now + LIFETIME;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let subtree = |address: IpAddr| {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, prefix))
    };
    let beyond = names.beyond_the_neighbourhood();
    let hosts = ["localhost", "local"].map(str::to_owned).into_iter().chain(beyond.hosts);
    let addresses = ALWAYS.into_iter().chain(beyond.addresses);
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: hosts.map(GeneralSubtree::DnsName).chain(addresses.map(subtree)).collect(),
        excluded_subtrees: Vec::new(),
    });
    params
}

impl Server {
    fn new(
        leaf: CertificateDer<'static>,
        sent_along: Vec<CertificateDer<'static>>,
        pair: &KeyPair,
    ) -> Result<Self, StartError> {
        let (certificate, spki) = (leaf.to_vec(), pair.subject_public_key_info());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_single_cert([leaf].into_iter().chain(sent_along).collect(), key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(config), certificate, spki })
    }
}

fn der_of_pem(pem: &str) -> Option<Vec<u8>> {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    data_encoding::BASE64.decode(base64.trim().as_bytes()).ok()
}

/// Puts a file in the place of another, whole; `mode` says who may read it, on Unix.
fn replace(file: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let draft = file.with_extension("new");
    let _ = fs::remove_file(&draft);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(&draft)?.write_all(content)?;
    fs::rename(&draft, file)
}

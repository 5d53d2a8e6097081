//! Metadata and keys in the store: public, but a new process then refreshes with one request. docs/sessions.md §2.
//!
//! Kept as they came and parsed anew, by the rules for what comes from the network.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use ring::digest;
use zeroize::Zeroizing;

use crate::context::{Context, in_background};
use crate::env::{Blob, StorageKey};
use crate::envelope::{Body, Content, Fields, HEAD, moment};
use crate::error::{Code, StoreProblem};
use crate::jose::jwks::parse_keys;
use crate::session::rules::{self, Now};
use crate::wire::answer::{self, Reply};
use crate::wire::metadata::parse_metadata;

/// Larger documents are fetched by each process.
const MAX_KEPT: usize = 128 * 1024;
const LAST_TAG: u8 = 8;

/// The two documents as they came.
#[derive(Clone, Default)]
pub(super) struct Kept {
    pub(super) metadata: Option<Raw>,
    pub(super) keys: Option<Raw>,
}

/// One document.
#[derive(Clone)]
pub(super) struct Raw {
    body: Arc<Zeroizing<Vec<u8>>>,
    fetched: Now,
    life: Duration,
}

impl Raw {
    pub(super) fn new(reply: Reply, fetched: Now, life: Duration) -> Self {
        Self { body: Arc::new(reply.response.body), fetched, life }
    }

    /// How long it may still be used; `None` if it is over, or the clocks cannot tell.
    fn left(&self, now: Now) -> Option<Duration> {
        let age = rules::age(self.fetched.wall, self.fetched.boot, now)?;
        self.life.checked_sub(age).filter(|left| !left.is_zero())
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").field("life", &self.life).finish_non_exhaustive()
    }
}

/// Where the documents of an issuer and client are stored.
fn key(context: &Context) -> Option<StorageKey> {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(context.config.issuer.as_str().as_bytes());
    hash.update(&[0]);
    hash.update(context.config.client_id.as_str().as_bytes());
    let name = data_encoding::HEXLOWER.encode(hash.finish().as_ref().get(..16)?);
    Some(StorageKey::of("public.", &Code::parse(&name)?))
}

fn encode(kept: &Kept, issuer: &str, client_id: &str) -> Option<Blob> {
    let size = |raw: &Option<Raw>| raw.as_ref().map_or(0, |raw| raw.body.len());
    let size = size(&kept.metadata).saturating_add(size(&kept.keys));
    if size > MAX_KEPT {
        return None;
    }
    let texts = issuer.len().saturating_add(client_id.len());
    let mut body = Body::with_capacity(size.saturating_add(texts).saturating_add(64 + HEAD * usize::from(LAST_TAG)));
    body.bytes(1, issuer.as_bytes());
    body.bytes(2, client_id.as_bytes());
    let mut document = |tags: [u8; 3], raw: &Option<Raw>| {
        let [content, fetched, life] = tags;
        if let Some(raw) = raw {
            body.bytes(content, &raw.body);
            body.bytes(fetched, &moment(raw.fetched.wall, raw.fetched.boot));
            body.bytes(life, &raw.life.as_secs().to_be_bytes());
        }
    };
    document([3, 4, 5], &kept.metadata);
    document([6, 7, 8], &kept.keys);
    Some(body.seal(Content::Documents))
}

fn decode(blob: &Blob, issuer: &str, client_id: &str) -> Result<Kept, StoreProblem> {
    let fields = Fields::open(blob, Content::Documents, LAST_TAG)?;
    let read = || {
        let is_ours = fields.text(1)? == issuer && fields.text(2)? == client_id;
        let document = |tag: usize| {
            fields.optional(tag, |fields, tag| {
                let (wall, boot) = fields.moment(tag.checked_add(1)?)?;
                let life = Duration::from_secs(u64::from_be_bytes(fields.array(tag.checked_add(2)?)?));
                let body = Arc::new(Zeroizing::new(fields.raw(tag)?.to_vec()));
                Some(Raw { body, fetched: Now { wall, boot }, life: life.min(super::MAX_LIFE) })
            })
        };
        is_ours.then_some(Kept { metadata: document(3)?, keys: document(6)? })
    };
    read().ok_or(StoreProblem::Corrupt)
}

/// Asks the store, once; `true` if it gave something that is still fresh.
pub(super) async fn recall(context: &Arc<Context>) -> bool {
    if core::mem::replace(&mut context.discovery.cache().recalled, true) {
        return false;
    }
    let Some(key) = key(context) else { return false };
    let Ok(Some(blob)) = context.load(&key).await else { return false };
    let (issuer, client_id) = (context.config.issuer.as_str(), context.config.client_id.as_str());
    let Ok(kept) = decode(&blob, issuer, client_id) else { return false };
    let now = context.now();
    let usable = |raw: &Option<Raw>| {
        let raw = raw.as_ref()?;
        Some((answer::parse(&raw.body).ok()?, now.boot.plus(raw.left(now)?), raw.clone()))
    };
    let mut cache = context.discovery.cache();
    let mut found = false;
    if let Some((document, until, raw)) = usable(&kept.metadata)
        && cache.metadata.is_none()
        && let Ok(metadata) = parse_metadata(&document, issuer, context.config.profile)
    {
        cache.metadata = Some((Arc::new(metadata), until));
        cache.kept.metadata = Some(raw);
        found = true;
    }
    if let Some((document, until, raw)) = usable(&kept.keys)
        && cache.keys.is_none()
        && let Some(keys) = parse_keys(&document)
    {
        cache.keys = Some((Arc::new(keys), until));
        cache.kept.keys = Some(raw);
        found = true;
    }
    found
}

pub(super) fn keep(context: &Arc<Context>) {
    let Some(key) = key(context) else { return };
    // Who writes already may not have all of it; the next session that is stored sees to that.
    let Some(keeping) = context.env.sessions.writes(key.as_str()).try_lock_owned() else { return };
    let kept = {
        let mut cache = context.discovery.cache();
        if !core::mem::replace(&mut cache.is_new, false) {
            return;
        }
        cache.kept.clone()
    };
    let (issuer, client_id) = (context.config.issuer.as_str(), context.config.client_id.as_str());
    let Some(blob) = encode(&kept, issuer, client_id) else { return };
    let background = Arc::clone(context);
    in_background(&context.env, async move {
        if background.store_and_check(&key, blob, keeping).await.is_err() {
            background.discovery.cache().is_new = true;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{BootInstant, WallTime};

    fn at(seconds: u64) -> Now {
        Now {
            wall: WallTime::from_millis(1_790_000_000_000 + i64::try_from(seconds).unwrap() * 1000),
            boot: BootInstant::from_boot(Duration::from_secs(500 + seconds)),
        }
    }

    fn kept() -> Kept {
        let raw = |text: &str, life| Raw {
            body: Arc::new(Zeroizing::new(text.as_bytes().to_vec())),
            fetched: at(0),
            life: Duration::from_secs(life),
        };
        Kept { metadata: Some(raw("{\"issuer\":1}", 3600)), keys: Some(raw("{\"keys\":[]}", 60)) }
    }

    #[test]
    fn documents_come_back_for_their_own_client_and_every_damage_is_noticed() {
        let blob = encode(&kept(), "https://a.example", "id").unwrap();
        let back = decode(&blob, "https://a.example", "id").unwrap();
        assert_eq!(encode(&back, "https://a.example", "id").unwrap(), blob);
        assert!(decode(&blob, "https://b.example", "id").is_err() && decode(&blob, "https://a.example", "x").is_err());
        let bare = encode(&Kept { keys: None, ..kept() }, "i", "c").unwrap();
        assert!(decode(&bare, "i", "c").unwrap().keys.is_none());
        crate::envelope::tests::every_damage_is_noticed(&blob, |blob| decode(blob, "https://a.example", "id").err());
        let large = Raw { body: Arc::new(Zeroizing::new(vec![b' '; MAX_KEPT])), ..kept().keys.unwrap() };
        assert!(encode(&Kept { keys: Some(large), ..kept() }, "i", "c").is_none());
    }

    #[test]
    fn a_document_is_kept_for_its_life_and_not_when_the_clocks_cannot_tell() {
        let raw = kept().keys.unwrap();
        let left = |now| raw.left(now).map(|left| left.as_secs());
        assert_eq!((left(at(0)), left(at(59)), left(at(60)), left(at(9999))), (Some(60), Some(1), None, None));
        let rebooted = Now { boot: BootInstant::from_boot(Duration::from_secs(1)), ..at(30) };
        let set = Now { wall: WallTime::from_millis(0), ..at(30) };
        assert_eq!((left(rebooted), left(set)), (None, None));
    }
}

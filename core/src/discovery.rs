//! Metadata and keys: fetched when needed, kept for as long as the server allows, in the store too, and nothing else is ever
//! cached.
//!
//! protocol.md §1.14, §6.1, §6.4; rows 186–214. The rules are in `wire::metadata` and `jose`; this sequences them.

mod kept;

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::lock::Mutex as AsyncMutex;
use kept::{Kept, Raw};

use crate::context::{Abandoned, Context};
use crate::env::{BootInstant, Conversation, HttpResponse};
use crate::error::{Kind, NetworkProblem, ResponseDefect};
use crate::jose::jwks::{KeySet, parse_keys};
use crate::wire::answer::{Failure, Leg, Reply, Why};
use crate::wire::json::Object;
use crate::wire::metadata::{Metadata, parse_metadata};

/// What is kept between sign-ins.
#[derive(Default)]
pub(crate) struct Discovery {
    cache: Mutex<Cache>,
    /// One fetch at a time.
    fetching: AsyncMutex<()>,
}

/// What is fetched; a failure of one says nothing of the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Document {
    Metadata,
    Keys,
    /// One of them anew, for a reason of its own.
    Anew,
}

#[derive(Default)]
struct Cache {
    metadata: Option<(Arc<Metadata>, BootInstant)>,
    keys: Option<(Arc<KeySet>, BootInstant)>,
    forced_at: Option<BootInstant>,
    /// When the last fetch failed, and how.
    failed: Option<(Document, BootInstant, Kind)>,
    /// What is fresh, as it came, for the store.
    kept: Kept,
    /// Whether the store lacks some of it.
    is_new: bool,
    /// Whether the store was asked.
    recalled: bool,
}

/// How long a document without `Cache-Control` is kept.
const DEFAULT_LIFE: Duration = Duration::from_secs(3600);
/// No document is kept longer.
const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Between two fetches for an unknown key (row 205).
const FORCED_SPACING: Duration = Duration::from_secs(30);
/// A failing server is asked this often for a document before the caller hears of it (row 202).
const TRIES: u32 = 3;

impl Discovery {
    /// The validated metadata: from memory while fresh, else one request, whoever asks meanwhile.
    pub(crate) async fn metadata(
        context: &Arc<Context>,
        via: &Arc<dyn Conversation>,
    ) -> Result<Arc<Metadata>, Failure> {
        let known = |context: &Context| context.discovery.known_metadata(context);
        Self::alone(context, via, Document::Metadata, known, |context, via| async move {
            context.discovery.fetch_metadata(&context, &*via).await
        })
        .await
    }

    /// Metadata, and the keys if an ID token is expected: before a credential or refresh token is sent, because an answer
    /// that cannot be validated helps nobody (row 214).
    pub(crate) async fn both(
        context: &Arc<Context>,
        via: &Arc<dyn Conversation>,
        with_keys: bool,
    ) -> Result<(Arc<Metadata>, Option<Arc<KeySet>>), Failure> {
        let known = context.discovery.known_metadata(context).zip(context.discovery.known_keys(context));
        if let Some((metadata, keys)) = known {
            return Ok((metadata, with_keys.then_some(keys)));
        }
        // In one task, because each change of threads costs about as much as a document's parsing.
        let (context, via) = (Arc::clone(context), Arc::clone(via));
        let task = Arc::clone(&context).detached(move |abandoned| async move {
            let known = |context: &Context| context.discovery.known_metadata(context);
            let metadata =
                Self::next(&context, &via, Document::Metadata, &abandoned, known, |context, via| async move {
                    context.discovery.fetch_metadata(&context, &*via).await
                });
            let metadata = metadata.await?;
            if !with_keys {
                return Ok((metadata, None));
            }
            let known = |context: &Context| context.discovery.known_keys(context);
            let of = Arc::clone(&metadata);
            let keys = Self::next(&context, &via, Document::Keys, &abandoned, known, |context, via| async move {
                context.discovery.fetch_keys(&context, &*via, &of).await
            });
            Ok((metadata, Some(keys.await?)))
        });
        task.await.unwrap_or_else(|| Err(Failure::local(Kind::Internal)))
    }

    /// Metadata anew and keys if they are stale: one or two requests, which leave an open connection. While the server's
    /// bucket is empty only what is missing (row 321).
    pub(crate) async fn refresh(context: &Arc<Context>, via: &Arc<dyn Conversation>) -> Result<(), Failure> {
        let metadata = Self::alone(
            context,
            via,
            Document::Anew,
            |context| context.should_be_quiet().then(|| context.discovery.known_metadata(context)).flatten(),
            |context, via| async move { context.discovery.fetch_metadata(&context, &*via).await },
        );
        Self::keys(context, via, &metadata.await?).await.map(drop)
    }

    /// The keys that sign ID tokens: from memory while fresh, else one request, whoever asks meanwhile.
    pub(crate) async fn keys(
        context: &Arc<Context>,
        via: &Arc<dyn Conversation>,
        metadata: &Arc<Metadata>,
    ) -> Result<Arc<KeySet>, Failure> {
        let metadata = Arc::clone(metadata);
        let known = |context: &Context| context.discovery.known_keys(context);
        Self::alone(context, via, Document::Keys, known, |context, via| async move {
            context.discovery.fetch_keys(&context, &*via, &metadata).await
        })
        .await
    }

    /// Other keys than `checked`, because a token names one that is not among them; `None` if they were fetched for such a
    /// reason a moment ago.
    pub(crate) async fn keys_anew(
        context: &Arc<Context>,
        via: &Arc<dyn Conversation>,
        metadata: &Arc<Metadata>,
        checked: &Arc<KeySet>,
    ) -> Result<Option<Arc<KeySet>>, Failure> {
        let (metadata, checked) = (Arc::clone(metadata), Arc::clone(checked));
        Self::alone(
            context,
            via,
            Document::Anew,
            |_| None,
            |context, via| async move {
                let now = context.env.clock.boot();
                {
                    let cache = context.discovery.cache();
                    // Somebody else has fetched meanwhile.
                    if let Some((keys, _)) = &cache.keys
                        && !Arc::ptr_eq(keys, &checked)
                    {
                        return Ok(Some(Arc::clone(keys)));
                    }
                    if cache.forced_at.is_some_and(|at| now.since(at) < FORCED_SPACING) {
                        return Ok(None);
                    }
                }
                let keys = context.discovery.fetch_keys(&context, &*via, &metadata).await?;
                context.discovery.cache().forced_at = Some(now);
                Ok(Some(keys))
            },
        )
        .await
    }

    /// What is known, or one fetch at a time, on a task of its own: a caller that stops polling holds up nobody.
    async fn alone<T, F>(
        context: &Arc<Context>,
        via: &Arc<dyn Conversation>,
        document: Document,
        known: impl Fn(&Context) -> Option<T> + Send + 'static,
        fetch: impl FnOnce(Arc<Context>, Arc<dyn Conversation>) -> F + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        if let Some(known) = known(context) {
            return Ok(known);
        }
        let (context, via) = (Arc::clone(context), Arc::clone(via));
        let task = Arc::clone(&context).detached(move |abandoned| async move {
            Self::next(&context, &via, document, &abandoned, known, fetch).await
        });
        task.await.unwrap_or_else(|| Err(Failure::local(Kind::Internal)))
    }

    /// What is known when it is this caller's turn, or a fetch, unless the caller has gone away. Who waited while the server
    /// could not give the same document hears of that instead of trying in turn.
    async fn next<T, F>(
        context: &Arc<Context>,
        via: &Arc<dyn Conversation>,
        document: Document,
        abandoned: &Abandoned,
        known: impl Fn(&Context) -> Option<T>,
        fetch: impl FnOnce(Arc<Context>, Arc<dyn Conversation>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let asked = context.env.clock.boot();
        let (waited, _fetching) = match context.discovery.fetching.try_lock() {
            Some(guard) => (false, guard),
            None => (true, context.discovery.fetching.lock().await),
        };
        if let Some(known) = known(context) {
            return Ok(known);
        }
        if kept::recall(context).await
            && let Some(known) = known(context)
        {
            return Ok(known);
        }
        if abandoned.is_abandoned() {
            return Err(Failure::local(Kind::Cancelled));
        }
        let failed = context.discovery.cache().failed.clone();
        if let Some((what, at, kind)) = failed
            && waited
            && what == document
            && at >= asked
        {
            return Err(Failure::local(kind));
        }
        let result = fetch(Arc::clone(context), Arc::clone(via)).await;
        if document != Document::Anew {
            let kind = result.as_ref().err().and_then(shared_failure);
            let now = context.env.clock.boot();
            context.discovery.cache().failed = kind.map(|kind| (document, now, kind));
        }
        result
    }

    fn known_keys(&self, context: &Context) -> Option<Arc<KeySet>> {
        let now = context.env.clock.boot();
        self.cache().keys.as_ref().filter(|(_, until)| now < *until).map(|(keys, _)| Arc::clone(keys))
    }

    fn known_metadata(&self, context: &Context) -> Option<Arc<Metadata>> {
        let now = context.env.clock.boot();
        self.cache().metadata.as_ref().filter(|(_, until)| now < *until).map(|(metadata, _)| Arc::clone(metadata))
    }

    async fn fetch_metadata(&self, context: &Context, via: &dyn Conversation) -> Result<Arc<Metadata>, Failure> {
        let now = context.env.clock.boot();
        let url = context.config.issuer.metadata_url(&context.config.client_id, context.config.profile);
        let (reply, document) = fetch(context, via, &url).await?;
        let metadata = parse_metadata(&document, context.config.issuer.as_str(), context.config.profile)
            .map_err(|what| Failure::after(&reply, Kind::Configuration { what }))?;
        let metadata = Arc::new(metadata);
        let (fetched, life) = (context.now(), life(&reply.response));
        let mut cache = self.cache();
        cache.metadata = Some((Arc::clone(&metadata), now.plus(life)));
        cache.kept.metadata = Some(Raw::new(reply, fetched, life));
        cache.is_new = true;
        drop(cache);
        Ok(metadata)
    }

    async fn fetch_keys(
        &self,
        context: &Context,
        via: &dyn Conversation,
        metadata: &Metadata,
    ) -> Result<Arc<KeySet>, Failure> {
        let now = context.env.clock.boot();
        let (reply, document) = fetch(context, via, metadata.jwks_uri.as_str()).await?;
        let keys = parse_keys(&document)
            .ok_or_else(|| Failure::after(&reply, Kind::InvalidResponse { what: ResponseDefect::Member("keys") }))?;
        let keys = Arc::new(keys);
        let (fetched, life) = (context.now(), life(&reply.response));
        let mut cache = self.cache();
        cache.keys = Some((Arc::clone(&keys), now.plus(life)));
        cache.kept.keys = Some(Raw::new(reply, fetched, life));
        cache.is_new = true;
        drop(cache);
        Ok(keys)
    }

    /// Stores what the store lacks, in the background: called when a session was stored.
    pub(crate) fn keep(context: &Arc<Context>) {
        kept::keep(context);
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(context: &Context, via: &dyn Conversation, url: &str) -> Result<(Reply, Object), Failure> {
    let mut tried = 0;
    loop {
        tried += 1;
        let failure = match context.get(via, url, None).await.map_err(Failure::from) {
            Ok(reply) => match context.read(&reply, Leg::Metadata) {
                Ok(document) => return Ok((reply, document)),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        match pause(&failure.why) {
            Some(pause) if tried < TRIES => context.env.clock.sleep(pause * tried).await,
            _ => return Err(failure),
        }
    }
}

/// A failure that whoever waited would meet as well: the server's, not that of one connection.
fn shared_failure(failure: &Failure) -> Option<Kind> {
    match &failure.why {
        Why::NoAnswer { kind: kind @ Kind::Server { .. }, .. }
        | Why::NoAnswer {
            kind: kind @ Kind::Network { kind: NetworkProblem::Timeout | NetworkProblem::Tls | NetworkProblem::Pin, .. },
            ..
        } => Some(kind.clone()),
        _ => None,
    }
}

/// Whether, and how long after, it is worth asking a failing server again. A dead network is told at once.
fn pause(why: &Why) -> Option<Duration> {
    match why {
        Why::NoAnswer { kind: Kind::Server { .. }, .. } | Why::RateLimited(None) => Some(Duration::from_secs(1)),
        Why::RateLimited(Some(delay)) if *delay <= Duration::from_secs(5) => Some(*delay),
        _ => None,
    }
}

/// `Cache-Control` of a public document (RFC 9111 §5.2.2): `no-store` and `no-cache` keep it for this moment only.
fn life(response: &HttpResponse) -> Duration {
    let Some(value) = response.header("cache-control") else { return DEFAULT_LIFE };
    let mut life = DEFAULT_LIFE;
    for directive in value.split(',').map(|d| d.trim().to_ascii_lowercase()) {
        if directive == "no-store" || directive == "no-cache" {
            return Duration::ZERO;
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            life = Duration::from_secs(seconds.trim_matches('"').parse().unwrap_or(0));
        }
    }
    life.min(MAX_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    #[test]
    fn documents_are_kept_as_long_as_the_server_says() {
        let life_of = |value: &str| {
            let headers = vec![("cache-control".to_owned(), value.to_owned())];
            life(&HttpResponse { status: 200, headers, body: Zeroizing::new(vec![]) }).as_secs()
        };
        for (value, expected) in [
            ("max-age=3600, must-revalidate", 3600),
            ("must-revalidate, MAX-AGE=\"60\"", 60),
            ("max-age=99999999", 86400),
            ("max-age=-1", 0),
            ("max-age=60, no-store", 0),
            ("no-cache", 0),
            ("public", 3600),
        ] {
            assert_eq!(life_of(value), expected, "{value}");
        }
    }
}

//! The highest use counter that was ever given, under a key of its own: a record that cannot be read now may have it.
//! docs/sessions.md §2.

use std::sync::Arc;

use super::rules;
use crate::context::Context;
use crate::env::{Blob, StorageKey};
use crate::envelope::{Body, Content, Fields};
use crate::error::{Code, StoreProblem};

fn key() -> StorageKey {
    StorageKey::of("", &Code::of("counter"))
}

fn encode(counter: i64) -> Blob {
    let mut body = Body::with_capacity(32);
    body.bytes(1, &counter.to_be_bytes());
    body.seal(Content::Counter)
}

fn decode(blob: &Blob) -> Result<i64, StoreProblem> {
    let fields = Fields::open(blob, Content::Counter, 1)?;
    fields.array(1).map(i64::from_be_bytes).ok_or(StoreProblem::Corrupt)
}

/// The next counter, above `known` and above what is kept; it is kept from now on. A store that fails keeps nobody from
/// signing in: then what is known decides.
pub(super) async fn next(context: &Arc<Context>, known: impl IntoIterator<Item = i64>) -> i64 {
    // One after another, until the store call has returned.
    let turn = context.turn(&key()).await;
    let kept = match context.load(&key()).await {
        Ok(Some(blob)) => decode(&blob).ok(),
        _ => None,
    };
    let counter = rules::next_counter(context.env.clock.wall(), known.into_iter().chain(kept));
    if let Ok(turn) = turn {
        let _ = context.store_and_check(&key(), encode(counter), turn).await;
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_comes_back_as_it_was_and_every_damage_is_noticed() {
        for counter in [0, 1_790_000_000_000, i64::MIN, i64::MAX] {
            assert_eq!(decode(&encode(counter)), Ok(counter));
        }
        assert_eq!(StorageKey::parse("counter"), Some(key()));
        crate::envelope::tests::every_damage_is_noticed(&encode(7), |blob| decode(blob).err());
    }
}

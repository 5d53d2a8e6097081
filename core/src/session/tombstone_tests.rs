use super::*;
use crate::env::{BootInstant, WallTime};

const DAY: i64 = 24 * 3600;

fn at(wall: i64, boot: u64) -> Now {
    Now {
        wall: WallTime::from_millis(1_790_000_000_000 + wall * 1000),
        boot: BootInstant::from_boot(Duration::from_secs(boot)),
    }
}

fn tombstone() -> Tombstone {
    Tombstone {
        id: Code::of("0a1b"),
        issuer: "https://a.example".into(),
        client_id: "id".into(),
        reason: EndReason::Replaced,
        ended: at(0, 1_000_000),
        replaces: vec![Code::of("0c"), Code::of("0d")],
        imported: Some([3; 32]),
    }
}

#[test]
fn a_tombstone_comes_back_as_it_was_and_every_damage_is_noticed() {
    for reason in [
        EndReason::SignedOut,
        EndReason::Replaced,
        EndReason::RefreshTokenRefused,
        EndReason::SubjectChanged,
        EndReason::RefreshInterrupted,
    ] {
        let tombstone = Tombstone { reason, ..tombstone() };
        assert_eq!(Tombstone::decode(&tombstone.encode()), Ok(tombstone));
    }
    let bare = Tombstone { replaces: vec![], imported: None, ..tombstone() };
    assert_eq!(Tombstone::decode(&bare.encode()), Ok(bare));
    crate::envelope::tests::every_damage_is_noticed(&tombstone().encode(), |blob| Tombstone::decode(blob).err());
}

/// The bytes are a promise to every later version: this test never changes.
#[test]
fn the_bytes_of_version_1_are_frozen() {
    assert_eq!(data_encoding::BASE64.encode(tombstone().encode().expose()), FROZEN);
    let frozen = Blob::new(data_encoding::BASE64.decode(FROZEN.as_bytes()).unwrap());
    assert_eq!(Tombstone::decode(&frozen), Ok(tombstone()));
}

const FROZEN: &str = concat!(
    "REFFAQHSIdfgW+3tY+P6OOtCkHwvvXta1/DBmtAtIwvip7yI6AEAAAAEMGExYgIAAAARaHR0cHM6Ly9hLmV4YW1wbGUDAAAAAmlk",
    "BAAAAAECBQAAABAAAAGgxFBsAAAAAAA7msoABgAAAAUwYyAwZAcAAAAgAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
);

#[test]
fn a_clock_that_was_set_makes_no_tombstone_old() {
    let boot = 1_000_000;
    for (now, expected) in [
        (at(DAY - 1, boot + 24 * 3600 - 1), false),
        (at(DAY, boot + 24 * 3600), true),
        (at(DAY + 9, boot + 9), false),
        (at(-DAY, boot + 9), false),
        (at(9, 5), false),
        (at(-9, boot + 24 * 3600), true),
        (at(DAY, 5), true),
        (at(-DAY, 5), true),
    ] {
        assert_eq!(tombstone().is_old(now), expected, "{now:?}");
    }
}

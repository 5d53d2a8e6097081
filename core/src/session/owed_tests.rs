use super::*;
use crate::env::{BootInstant, WallTime};

const DAY: i64 = 24 * 3600;

fn at(seconds: i64) -> Now {
    Now {
        wall: WallTime::from_millis(1_790_000_000_000 + seconds * 1000),
        boot: BootInstant::from_boot(Duration::from_secs(u64::try_from(1_000_000 + seconds).unwrap())),
    }
}

fn owed(tries: u32, again: Option<Now>) -> Owed {
    Owed {
        id: Code::of("0a1b"),
        issuer: "https://a.example".into(),
        client_id: "id".into(),
        token: Secret::from("rt"),
        kind: TokenKind::Refresh,
        since: at(0),
        tries,
        again,
    }
}

#[test]
fn an_entry_comes_back_as_it_was_and_every_damage_is_noticed() {
    for entry in [owed(0, None), owed(3, Some(at(90))), Owed { kind: TokenKind::Access, ..owed(1, None) }] {
        let blob = entry.encode();
        let back = Owed::decode(&blob).unwrap();
        assert_eq!((back.encode(), back.key()), (blob, entry.key()));
        crate::envelope::tests::every_damage_is_noticed(&entry.encode(), |blob| Owed::decode(blob).err());
    }
}

/// The bytes are a promise to every later version: this test never changes.
#[test]
fn the_bytes_of_version_1_are_frozen() {
    assert_eq!(data_encoding::BASE64.encode(owed(3, Some(at(90))).encode().expose()), FROZEN);
    let frozen = Blob::new(data_encoding::BASE64.decode(FROZEN.as_bytes()).unwrap());
    assert_eq!(Owed::decode(&frozen).unwrap().token.expose(), "rt");
}

const FROZEN: &str = concat!(
    "REFPAQFPE4K2oGBS+vcdCqYuxFWFTtT7wCNUQazzuByLuZ5e5AEAAAACcnQCAAAAAQADAAAABAAAAAMEAAAAEAAAAaDEUcuQAAAA",
    "ADucKZAFAAAABDBhMWIGAAAAEWh0dHBzOi8vYS5leGFtcGxlBwAAAAJpZAgAAAAQAAABoMRQbAAAAAAAO5rKAA==",
);

#[test]
fn each_token_of_a_session_has_a_key_of_its_own() {
    let (one, other) = (owed(0, None), Owed { token: Secret::from("rt2"), ..owed(0, None) });
    assert_ne!(one.key(), other.key());
    assert_eq!(StorageKey::parse(one.key().as_str()), Some(one.key()), "a legal name");
    assert!(Owed::is_key(&one.key()) && Owed::is_of(&one.key(), &one.id));
    assert!(!Owed::is_of(&one.key(), &Code::of("0a1")) && !Owed::is_of(&one.key(), &Code::of("0a1b0")));
}

#[test]
fn when_an_entry_is_due() {
    for (entry, now, expected) in [
        (owed(0, None), 0, Due::Revoke),
        (owed(1, Some(at(30))), 10, Due::RevokeIn(Duration::from_secs(20))),
        (owed(1, Some(at(30))), 30, Due::Revoke),
        (owed(0, None), 10 * DAY, Due::Revoke),
        (owed(5, Some(at(DAY + 99))), DAY - 1, Due::RevokeIn(Duration::from_secs(100))),
        (owed(5, Some(at(DAY + 99))), DAY, Due::GiveUp),
    ] {
        assert_eq!(entry.due(at(now)), expected, "at {now}");
    }
}

#[test]
fn a_clock_that_was_set_delays_no_revocation() {
    let waiting = owed(1, Some(at(30)));
    let set = |wall: i64| Now { wall: WallTime::from_millis(at(0).wall.as_millis() + wall * 1000), ..at(1) };
    assert_eq!(waiting.due(set(1000)), Due::Revoke, "the wall clock was set forward");
    assert_eq!(waiting.due(set(-1000)), Due::RevokeIn(Duration::from_secs(29)), "and back");
    let rebooted = Now { boot: BootInstant::from_boot(Duration::from_secs(9)), ..at(40) };
    assert_eq!(waiting.due(rebooted), Due::Revoke, "the boot clock began anew");
}

#[test]
fn tries_become_rarer_and_follow_the_server() {
    let secs = |tries, server: Option<u64>| pause(tries, server.map(Duration::from_secs)).as_secs();
    assert_eq!([1, 2, 3, 7, 8, 40].map(|tries| secs(tries, None)), [30, 60, 120, 1920, 3600, 3600]);
    assert_eq!((secs(1, Some(90)), secs(3, Some(5)), secs(1, Some(999_999))), (90, 120, 24 * 3600));
    let delayed = owed(1, None).delayed(at(100), None);
    assert_eq!((delayed.tries, delayed.again), (2, Some(at(160))));
}

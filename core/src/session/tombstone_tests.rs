use super::*;
use crate::env::{BootInstant, WallTime};

fn at(seconds: i64) -> Now {
    Now {
        wall: WallTime::from_millis(1_790_000_000_000 + seconds * 1000),
        boot: BootInstant::from_boot(Duration::from_secs(u64::try_from(1_000_000 + seconds).unwrap())),
    }
}

fn tombstone(owed: Option<Owed>) -> Tombstone {
    Tombstone {
        id: Code::of("0a1b"),
        issuer: "https://a.example".into(),
        client_id: "id".into(),
        reason: EndReason::SignedOut,
        ended: at(0),
        owed,
    }
}

fn owed(tries: u32, again: Option<Now>) -> Option<Owed> {
    Some(Owed { token: Secret::from("rt"), kind: TokenKind::Refresh, tries, again })
}

#[test]
fn a_tombstone_comes_back_as_it_was_and_every_damage_is_noticed() {
    for tombstone in [tombstone(None), tombstone(owed(0, None)), tombstone(owed(3, Some(at(90))))] {
        let blob = tombstone.encode();
        let back = Tombstone::decode(&blob).unwrap();
        assert_eq!(back.encode(), blob);
        assert_eq!(back.reason, EndReason::SignedOut);
        assert_eq!(back.owed.map(|owed| (owed.tries, owed.kind)), tombstone.owed.map(|owed| (owed.tries, owed.kind)));
        crate::envelope::tests::every_damage_is_noticed(&blob, |blob| Tombstone::decode(blob).err());
    }
}

/// The bytes are a promise to every later version: this test never changes.
#[test]
fn the_bytes_of_version_1_are_frozen() {
    assert_eq!(data_encoding::BASE64.encode(tombstone(owed(3, Some(at(90)))).encode().expose()), FROZEN);
    let frozen = Blob::new(data_encoding::BASE64.decode(FROZEN.as_bytes()).unwrap());
    assert_eq!(Tombstone::decode(&frozen).unwrap().owed.unwrap().token.expose(), "rt");
}

const FROZEN: &str = concat!(
    "REFFAQHQGD08eDCt7Gve5bOVeu6j/3X4ISh9VJxGiMKTKIY6rgEAAAACcnQCAAAAAQADAAAABAAAAAMEAAAAEAAAAaDEUcuQAAAA",
    "ADucKZAFAAAABDBhMWIGAAAAEWh0dHBzOi8vYS5leGFtcGxlBwAAAAJpZAgAAAABAQkAAAAQAAABoMRQbAAAAAAAO5rKAA==",
);

#[test]
fn what_a_tombstone_asks_for() {
    const DAY: i64 = 24 * 3600;
    for (owed, now, has_record, expected) in [
        (owed(0, None), 0, false, Due::Revoke),
        (owed(1, Some(at(30))), 10, true, Due::RevokeIn(Duration::from_secs(20))),
        (owed(1, Some(at(30))), 30, false, Due::Revoke),
        (None, 0, true, Due::Rest),
        (None, DAY - 1, false, Due::Rest),
        (None, DAY, false, Due::Delete { given_up: false }),
        (None, DAY, true, Due::Rest),
        (owed(0, None), 10 * DAY, false, Due::Revoke),
        (owed(5, Some(at(DAY + 99))), DAY, false, Due::Delete { given_up: true }),
        (owed(5, None), DAY, true, Due::Rest),
    ] {
        assert_eq!(due(&tombstone(owed), at(now), has_record), expected, "at {now}");
    }
}

#[test]
fn a_clock_that_was_set_delays_no_revocation() {
    let waiting = tombstone(owed(1, Some(at(30))));
    let set = |wall: i64| Now { wall: WallTime::from_millis(at(0).wall.as_millis() + wall * 1000), ..at(1) };
    assert_eq!(due(&waiting, set(1000), false), Due::Revoke, "the wall clock was set forward");
    assert_eq!(due(&waiting, set(-1000), false), Due::RevokeIn(Duration::from_secs(29)), "and back");
    let rebooted = Now { boot: BootInstant::from_boot(Duration::from_secs(9)), ..at(40) };
    assert_eq!(due(&waiting, rebooted, false), Due::Revoke, "the boot clock began anew");
}

#[test]
fn tries_become_rarer_and_follow_the_server() {
    let secs = |tries, server: Option<u64>| pause(tries, server.map(Duration::from_secs)).as_secs();
    assert_eq!([1, 2, 3, 7, 8, 40].map(|tries| secs(tries, None)), [30, 60, 120, 1920, 3600, 3600]);
    assert_eq!((secs(1, Some(90)), secs(3, Some(5)), secs(1, Some(999_999))), (90, 120, 24 * 3600));
}

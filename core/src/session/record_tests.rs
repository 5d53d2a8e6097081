use super::*;
use crate::envelope::MAX_CODES;
use core::time::Duration;

pub(crate) fn record() -> Record {
    Record {
        generation: 7,
        writer: [9; 16],
        id: Code::parse("0a1b").unwrap(),
        issuer: "https://a.example".into(),
        client_id: "id".into(),
        subject: Some("00u1".into()),
        username: "ana@example.com".into(),
        use_counter: 1_790_000_000_000,
        scope: "openid offline_access".into(),
        set: TokenSet {
            access_token: Secret::from("at"),
            life: Life {
                sent_wall: WallTime::from_millis(-5),
                sent_boot: BootInstant::from_boot(Duration::from_millis(1234)),
                secs: 3600,
            },
            id_token: Some(Secret::from("a.b.c")),
            refresh_token: Some(Secret::from("rt")),
        },
        rotation: Rotation::Rotating,
        mark: Some(Mark {
            first_wall: WallTime::from_millis(77),
            first_boot: BootInstant::from_boot(Duration::from_millis(88)),
            token: hash(&Secret::from("rt")),
        }),
        replaces: vec![Code::of("0c"), Code::of("0d")],
        alone: true,
        proof_key: Some(ProofKey::Platform { name: "key.1".into(), thumbprint: [4; 32] }),
        nonce: Some("n".into()),
        imported: Some([5; 32]),
    }
}

#[test]
fn a_record_comes_back_as_it_was() {
    let blob = record().encode();
    let back = Record::decode(&blob).unwrap();
    assert_eq!(back.encode(), blob);
    assert_eq!((back.generation, back.writer, back.use_counter), (7, [9; 16], 1_790_000_000_000));
    assert_eq!(back.set.life, record().set.life);
    assert_eq!(back.mark, record().mark);
    assert_eq!(back.set.refresh_token.unwrap().expose(), "rt");

    let bare = Record {
        subject: None,
        mark: None,
        replaces: vec![],
        alone: false,
        proof_key: None,
        nonce: None,
        imported: None,
        set: TokenSet { id_token: None, refresh_token: None, ..record().set },
        ..record()
    };
    let back = Record::decode(&bare.encode()).unwrap();
    assert!(back.subject.is_none() && back.mark.is_none() && back.set.id_token.is_none());
    assert!(back.set.refresh_token.is_none() && back.replaces.is_empty() && !back.alone);
    assert!(back.proof_key.is_none() && back.nonce.is_none());
}

#[test]
fn every_damaged_byte_is_noticed() {
    crate::envelope::tests::every_damage_is_noticed(&record().encode(), |blob| Record::decode(blob).err());
}

/// The bytes of a record are a promise to every later version: this test never changes, whatever is added.
#[test]
fn the_bytes_of_version_1_are_frozen() {
    let frozen = data_encoding::BASE64.decode(FROZEN.as_bytes()).unwrap();
    assert_eq!(data_encoding::BASE64.encode(record().encode().expose()), FROZEN);
    assert_eq!(Record::decode(&Blob::new(frozen)).unwrap().encode(), record().encode());
}

const FROZEN: &str = concat!(
    "REFTAQHPBZJ4NWsv26gHmWG1TEsST1TNBdjxQNHEYxbXqoanjgEAAAACYXQCAAAABWEuYi5jAwAAAAJydAQAAAAIAAAAAAAAAAcF",
    "AAAAEAkJCQkJCQkJCQkJCQkJCQkGAAAABDBhMWIHAAAAEWh0dHBzOi8vYS5leGFtcGxlCAAAAAJpZAkAAAAEMDB1MQoAAAAPYW5h",
    "QGV4YW1wbGUuY29tCwAAAAgAAAGgxFBsAAwAAAAVb3BlbmlkIG9mZmxpbmVfYWNjZXNzDQAAABD/////////+wAAAAAAAATSDgAA",
    "AAgAAAAAAAAOEA8AAAABAhAAAAAQAAAAAAAAAE0AAAAAAAAAWBEAAAAgB7naqnZNhTyNJcbHzcSKW0f1+/JK4YgFJKf5+jr8onYS",
    "AAAABTBjIDBkEwAAAAEBFQAAAAVrZXkuMRYAAAAgBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQXAAAAAW4YAAAAIAUF",
    "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUF",
);

#[test]
fn members_that_do_not_belong_together_are_damage() {
    let sealed = |edit: &dyn Fn(&mut Record)| {
        let mut record = record();
        edit(&mut record);
        Record::decode(&record.encode()).err()
    };
    assert_eq!(sealed(&|_| ()), None);
    assert_eq!(sealed(&|record| record.proof_key = Some(ProofKey::Software(Secret::from("k")))), None);
    let many: Vec<Code> = (0..=MAX_CODES).map(|n| Code::parse(&n.to_string()).unwrap()).collect();
    assert_eq!(sealed(&|record| record.replaces = many[1..].to_vec()), None);
    assert_eq!(sealed(&|record| record.replaces = many.clone()), Some(StoreProblem::Corrupt));
    assert_eq!(sealed(&|record| record.username = "x".repeat(600 * 1024)), Some(StoreProblem::Corrupt));
}

use super::*;
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
        set: TokenSet { id_token: None, refresh_token: None, ..record().set },
        ..record()
    };
    let back = Record::decode(&bare.encode()).unwrap();
    assert!(back.subject.is_none() && back.mark.is_none() && back.set.id_token.is_none());
    assert!(back.set.refresh_token.is_none());
}

#[test]
fn every_damaged_byte_is_noticed() {
    let blob = record().encode();
    for position in 0..blob.expose().len() {
        let mut bytes = blob.expose().to_vec();
        bytes[position] ^= 0x40;
        let expected = if position == 4 { StoreProblem::NewerVersion } else { StoreProblem::Corrupt };
        assert_eq!(Record::decode(&Blob::new(bytes)).err(), Some(expected), "byte {position}");
    }
    for length in 0..blob.expose().len() {
        let torn = Blob::new(blob.expose()[..length].to_vec());
        assert_eq!(Record::decode(&torn).err(), Some(StoreProblem::Corrupt), "torn after {length}");
    }
    let mut longer = blob.expose().to_vec();
    longer.push(0);
    assert_eq!(Record::decode(&Blob::new(longer)).err(), Some(StoreProblem::Corrupt));
}

#[test]
fn fields_out_of_order_or_unknown_are_refused_even_with_a_right_checksum() {
    let sealed = |body: &[u8]| {
        let mut blob = MAGIC.to_vec();
        blob.push(VERSION);
        blob.extend_from_slice(checksum(VERSION, body).as_ref());
        blob.extend_from_slice(body);
        Blob::new(blob)
    };
    for body in
        [&b""[..], b"\x02\0\0\0\0\x01\0\0\0\0", b"\x01\0\0\0\0\x01\0\0\0\0", b"\xff\0\0\0\0", b"\x01\xff\xff\xff\xff"]
    {
        assert_eq!(Record::decode(&sealed(body)).err(), Some(StoreProblem::Corrupt), "{body:?}");
    }
}

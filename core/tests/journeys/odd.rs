//! A server that is not the emulator as it should be, or no server at all.

use directauth_emulator::{BadTls, BadTlsKind};

use super::support;

pub(crate) enum OddServer {
    Tls(BadTls),
    /// Somebody listens, accepts, and says nothing.
    Silent(std::net::TcpListener),
    Nobody(u16),
    /// Speaks TLS 1.1 and nothing newer: answers every ClientHello with the alert `protocol_version` (RFC 8446 §6.2).
    OldTls(u16),
}

impl OddServer {
    pub(crate) fn of(issuer: &str) -> Option<Self> {
        let tls = |kind| Self::Tls(support::emulator().bad_tls(kind).expect("a listener"));
        let listen = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        Some(match issuer {
            "{expired_certificate}" => tls(BadTlsKind::Expired),
            "{certificate_for_another_host}" => tls(BadTlsKind::WrongHost),
            "{self_signed_certificate}" => tls(BadTlsKind::SelfSigned),
            "{certificate_of_an_unknown_authority}" => tls(BadTlsKind::UnknownCa),
            "{old_tls}" => {
                let listener = listen();
                let port = listener.local_addr().expect("its address").port();
                std::thread::spawn(move || {
                    while let Ok((mut client, _)) = listener.accept() {
                        let _ = std::io::Read::read(&mut client, &mut [0; 4096]);
                        let _ = std::io::Write::write_all(&mut client, &[21, 3, 1, 0, 2, 2, 70]);
                    }
                });
                Self::OldTls(port)
            }
            "{silent}" => Self::Silent(listen()),
            "{nobody}" => Self::Nobody(listen().local_addr().expect("its address").port()),
            _ => return None,
        })
    }

    pub(crate) fn origin(&self) -> String {
        let port = match self {
            Self::Tls(server) => return server.origin(),
            Self::Silent(listener) => listener.local_addr().expect("its address").port(),
            Self::Nobody(port) | Self::OldTls(port) => *port,
        };
        format!("https://127.0.0.1:{port}")
    }
}

//! The library's side.

use directauth::{Client, DPoP, Session, Step, Trust};
use futures_executor::block_on;
use futures_util::future::join_all;

use crate::server::Server;
use crate::{PASSWORD, USER};

pub(crate) fn idle_client(server: &Server) -> Client {
    Client::builder(server.issuer.clone(), server.client_id.clone())
        .scopes(["openid", "profile", "offline_access"])
        .trust(Trust::Custom(vec![server.authority.clone()]))
        .build()
        .expect("a valid configuration")
}

/// With tokens that are bound to a key.
pub(crate) fn bound_client(server: &Server) -> Client {
    Client::builder(server.issuer.clone(), server.client_id.clone())
        .scopes(["openid", "profile", "offline_access"])
        .trust(Trust::Custom(vec![server.authority.clone()]))
        .dpop(DPoP::Required)
        .build()
        .expect("a valid configuration")
}

pub(crate) fn authorize(session: &Session) {
    block_on(session.authorize("GET", &issuer_of(session))).expect("authorized");
}

fn issuer_of(session: &Session) -> String {
    session.claims().and_then(|claims| claims.text("iss").map(str::to_owned)).expect("an issuer")
}

pub(crate) fn warm_client(server: &Server) -> Client {
    let client = idle_client(server);
    block_on(client.warm_up());
    client
}

pub(crate) fn sign_in(client: &Client) -> Session {
    sign_in_as(client, USER)
}

/// All users have the same password.
pub(crate) fn sign_in_as(client: &Client, user: &str) -> Session {
    match block_on(client.sign_in(user).password(PASSWORD)) {
        Ok(Step::SignedIn(session)) => session,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn cold_sign_in(server: &Server) {
    sign_in(&idle_client(server));
}

pub(crate) fn restore(client: &Client) -> Session {
    block_on(client.restore()).expect("a store that works").expect("a session")
}

pub(crate) fn refresh(session: &Session) {
    block_on(session.refresh()).expect("refreshed");
}

/// A session whose access token has expired, at a server whose next one has not.
pub(crate) fn expired_session(server: &Server) -> Session {
    server.set_token_lifetime(0);
    let session = sign_in(&idle_client(server));
    server.set_token_lifetime(3600);
    session
}

pub(crate) fn ask_at_once(session: &Session, callers: usize) {
    let results = block_on(join_all((0..callers).map(|_| session.access_token())));
    assert!(results.iter().all(Result::is_ok), "every caller gets a token");
}

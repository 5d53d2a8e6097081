//! A session that outlives the program: kept in a folder, found by the next run, ended by `--sign-out`.
//!
//! The folder is a `FileStore`, in plain text. An app gives the same builder the platform's secure storage instead.

use core::time::Duration;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use directauth::error::StoreProblem;
use directauth::{Client, DeviceSignOut, Error, FileStore, Kind, ServerSignOut, Session, SignOut};

use crate::page::Page;
use crate::requests::Requests;
use crate::stop::Stop;
use crate::words;

/// The end of the year 9999, the last that a date can be written of.
const LAST_SECOND: u64 = 253_402_300_799;

/// Opens the folder, or makes it.
pub(crate) fn open(folder: &Path) -> Result<FileStore, Stop> {
    FileStore::open(folder).map_err(|problem| {
        let folder = folder.display();
        Stop::Failed(match problem {
            StoreProblem::Foreign => format!(
                "{folder} is not used as a store: it is a file or a link, or others can write to it\n  → name a folder that \
                 does not exist yet: it is made for you alone"
            ),
            problem => format!(
                "{folder} cannot be opened as a store: {problem}\n  → see that its path is right, and that you may write there"
            ),
        })
    })
}

/// The session that an earlier run has kept, if it is the one of `wanted`.
pub(crate) async fn find(
    page: Page,
    client: &Client,
    folder: &Path,
    wanted: Option<&str>,
) -> Result<Option<Session>, Stop> {
    let found = client.restore().await.map_err(|error| unreadable(error, folder))?;
    if let Some(session) = &found {
        let (name, folder) = (session.username(), folder.display());
        if wanted.is_some_and(|wanted| !wanted.trim().eq_ignore_ascii_case(&name)) {
            return Err(Stop::Usage(format!(
                "{name} is signed in in {folder}; --sign-out first, or name another folder"
            )));
        }
        let since = since(session).map(|since| format!(", since {since}")).unwrap_or_default();
        page.line(&format!("  still signed in as {}{since}", words::name(session)));
    }
    Ok(found)
}

/// Says that the session stays.
pub(crate) fn keep(page: Page, session: &Session, folder: &Path) {
    if session.is_persisted() {
        page.note(&format!(
            "kept in {}, in plain text: the next run with --store finds it, --sign-out ends it",
            folder.display()
        ));
    } else {
        page.note(&format!("{} could not be written: the session ends with this run", folder.display()));
    }
}

/// Ends the session that is kept, and says both halves of it.
pub(crate) async fn sign_out(page: Page, requests: &Requests, client: &Client, folder: &Path) -> Result<(), Stop> {
    let Some(session) = find(page, client, folder, None).await? else {
        page.line(&format!("  nobody is signed in in {}", folder.display()));
        return Ok(());
    };
    let SignOut { server, device, .. } = session.sign_out().await?;
    page.done("signed out", &requests.take());
    page.note(match server {
        ServerSignOut::Revoked => "server: it revoked the tokens",
        ServerSignOut::Pending => {
            "server: it could not be told; a later run with the same --store tells it, for up to 24 hours"
        }
        ServerSignOut::Unsupported => "server: it cannot revoke tokens; they end by themselves",
        _ => "server: it did not revoke the tokens; they end by themselves",
    });
    page.note(match device {
        DeviceSignOut::Deleted => "device: the session is deleted",
        _ => "device: the session is marked as over, and deleted by a later run",
    });
    Ok(())
}

/// When the user signed in, by the server's clock.
fn since(session: &Session) -> Option<String> {
    let seconds = u64::try_from(session.claims()?.integer("auth_time")?).ok()?;
    let at: SystemTime = UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND));
    Some(httpdate::fmt_http_date(at))
}

/// Not "nobody": a session that cannot be read may be there.
fn unreadable(error: Error, folder: &Path) -> Stop {
    let Kind::StorageUnavailable { reason } = error.kind() else { return Stop::Refused(error) };
    let folder = folder.display();
    let next = match reason {
        StoreProblem::NewerVersion => "a newer version of this program wrote it and can read it".to_owned(),
        reason if reason.is_temporary() => {
            "see that the folder is there and that you may read it, then try again".to_owned()
        }
        _ => format!("it will never be readable: remove {folder}, then sign in again"),
    };
    Stop::Failed(format!("the session in {folder} cannot be read: {reason}\n  → {next}"))
}

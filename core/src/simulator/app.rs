//! What an app does in a case, and what it may be given for it.

use core::time::Duration;
use std::sync::Arc;

use super::device::Device;
use super::events::Act;
use super::world::Process;
use crate::env::{SessionTable, Spawner};
use crate::error::{Error, Kind};
use crate::secret::Secret;
use crate::{Client, EnterCode, Session, SignOut, Step, StepUpDemand};

/// No call takes longer, whatever one fault there is: two answers of 12 s or one of 30 s, or the lock that another has for
/// 45 s, and a store call that is late.
const LONGEST_CALL: Duration = Duration::from_secs(60);
/// No request: two store calls that are late.
const LONGEST_LOOK: Duration = Duration::from_secs(20);

/// A process of the app with its client.
#[derive(Clone)]
pub(super) struct App {
    pub(super) device: Device,
    pub(super) process: Process,
    pub(super) sessions: Arc<SessionTable>,
    pub(super) client: Client,
}

impl App {
    /// `leads`: it refreshes also where there is no lock.
    pub(super) fn start(device: &Device, leads: bool) -> Self {
        let process = device.world.process();
        let sessions = SessionTable::new();
        let client = device.client(&process, &sessions, leads);
        Self { device: device.clone(), process, sessions, client }
    }

    /// Another client of the same process.
    pub(super) fn second(&self) -> Self {
        let client = self.device.client(&self.process, &self.sessions, true);
        Self { client, ..self.clone() }
    }

    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.device.world.run(self.process.pid, work)
    }

    /// Does it in the background of this process.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.process.spawn(Box::pin(work));
    }

    async fn timed<T>(&self, what: &'static str, call: impl Future<Output = T>) -> (Duration, T) {
        let began = self.device.world.elapsed();
        let result = call.await;
        let took = self.device.world.elapsed() - began;
        if !self.device.lock().history.was_suspended() {
            self.device.lock().history.took(what, took);
        }
        let longest = if what == "restore" { LONGEST_LOOK } else { LONGEST_CALL };
        if took > longest && !self.device.lock().history.was_suspended() {
            self.device.lock().history.violated(format!("9: {what} took {} s", took.as_secs()));
        }
        (began, result)
    }

    pub(super) async fn token(&self, session: &Session) -> Result<Secret, Error> {
        let began = self.device.lock().history.moment();
        let (_, result) = self.timed("access_token", session.access_token()).await;
        let now = self.device.world.elapsed();
        let (id, persisted) = (session.id(), session.is_persisted());
        self.device.note(|history, facts| match &result {
            Ok(token) => history.released(token.expose(), &id, persisted, began, facts, now),
            Err(error) => {
                if let Kind::SessionEnded { reason } = error.kind() {
                    history.ended(*reason, facts);
                }
            }
        });
        result
    }

    pub(super) async fn restore(&self) -> Result<Option<Session>, Error> {
        let ids = |app: &Self| app.device.note(|_, facts| facts.live_ids());
        let before = ids(self);
        let now = self.device.world.elapsed();
        self.device.lock().history.restores(now);
        let (began, result) = self.timed("restore", self.client.restore()).await;
        let after = ids(self);
        let user = result.as_ref().ok().and_then(Option::as_ref).map(Session::username);
        self.device.note(|history, facts| {
            let ended = |id: &String| history.sign_outs_called.contains(id) || history.has_lost_grant(id, facts);
            let is_there = before.iter().any(|id| after.contains(id) && !ended(id)) && history.sign_ins_called < 2;
            if matches!(result, Ok(None)) && is_there && !history.has_lost_data() {
                history.violated("10: restore found nothing where there is something".to_owned());
            }
            history.is_default(user, began, facts);
        });
        result
    }

    pub(super) async fn sign_out(&self, session: &Session) -> Result<SignOut, Error> {
        let id = session.id();
        self.device.lock().history.sign_outs_called.insert(id.clone());
        let (_, result) = self.timed("sign_out", session.sign_out()).await;
        let now = self.device.world.elapsed();
        if result.is_ok() {
            self.device.lock().history.is_signed_out(&id, now);
        }
        result
    }

    pub(super) async fn sign_in(&self, user: &'static str) -> Result<Session, Error> {
        self.signs_in("sign_in", user, self.client.sign_in(user).password("pw")).await
    }

    /// The code that was sent is entered.
    pub(super) async fn enter(&self, code: &EnterCode, user: &'static str) -> Result<Session, Error> {
        self.signs_in("submit", user, code.submit("123456")).await
    }

    async fn signs_in(
        &self,
        what: &'static str,
        user: &'static str,
        call: impl Future<Output = Result<Step, Error>>,
    ) -> Result<Session, Error> {
        self.device.lock().history.signs_in();
        let (_, result) = self.timed(what, call).await;
        self.device.lock().history.sign_in_ended();
        let now = self.device.world.elapsed();
        match result? {
            Step::SignedIn(session) => {
                self.device.lock().history.signed_in(user, now);
                Ok(session)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The session's user signs in for more.
    pub(super) async fn step_up(&self, session: &Session) -> Result<(), Error> {
        let demand = StepUpDemand::default();
        let (_, result) = self.timed("step_up", session.step_up(&demand).password("pw")).await;
        self.device.lock().history.step_up_failed |= result.is_err();
        match result? {
            Step::SignedIn(same) if same.id() == session.id() => Ok(()),
            other => panic!("{other:?}"),
        }
    }

    /// Another library's refresh token is taken over.
    pub(super) async fn import(&self) -> Result<Session, Error> {
        let token = self.device.lock().server.import_token();
        self.device.lock().history.signs_in();
        let (_, result) = self.timed("import_session", self.client.import_session(token)).await;
        let now = self.device.world.elapsed();
        let mut inner = self.device.lock();
        inner.history.sign_in_ended();
        if result.is_ok() {
            inner.history.signed_in("", now);
        }
        result
    }

    /// Does what an event asks for, in the background.
    pub(super) fn act(&self, act: Act) {
        let app = self.clone();
        match act {
            Act::Leave | Act::Cancel => {}
            Act::Foreground => self.client.notify_foreground(),
            Act::Token(_) => self.spawn(async move {
                if let Ok(Some(session)) = app.restore().await {
                    let _ = app.token(&session).await;
                }
            }),
            Act::SignOut(_) => self.spawn(async move {
                if let Ok(Some(session)) = app.restore().await {
                    let _ = app.sign_out(&session).await;
                }
            }),
            Act::SignIn(_, user) => self.spawn(async move {
                let _ = app.sign_in(user).await;
            }),
            Act::Choose(_) => self.spawn(async move {
                if let Ok(sessions) = app.client.sessions().await
                    && let Some(last) = sessions.last().filter(|_| sessions.len() > 1)
                {
                    let _ = app.client.set_default(&last.id).await;
                }
            }),
            Act::Discard(_) => self.spawn(async move {
                let _ = app.client.discard_unreadable().await;
            }),
            Act::Import(_) => self.spawn(async move {
                if app.device.lock().server.has_import() {
                    let _ = app.import().await;
                }
            }),
        }
    }
}

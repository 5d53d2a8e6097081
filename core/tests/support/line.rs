//! A network that can hold an answer back: the server has acted, and nobody has heard of it yet.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use directauth::env::{BoxFuture, Conversation, HttpRequest, HttpResponse, Transport, TransportError};

/// Clones are the same line.
#[derive(Clone, Default)]
pub struct Line(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The next answer about a user is held back.
    armed: bool,
    holds: bool,
    waiting: Vec<Waker>,
}

impl Line {
    /// The next answer is held back, unless it is metadata or keys.
    pub fn hold_next(&self) {
        self.state().armed = true;
    }

    pub fn holds(&self) -> bool {
        self.state().holds
    }

    /// What is held back arrives.
    pub fn let_go(&self) {
        let mut state = self.state();
        state.armed = false;
        state.holds = false;
        state.waiting.drain(..).for_each(Waker::wake);
    }

    pub fn over<T: Transport>(&self, inner: T) -> impl Transport + use<T> {
        Held { line: self.clone(), inner }
    }

    /// Waits as long as this answer is held back.
    async fn pass(&self) {
        {
            let mut state = self.state();
            if !std::mem::take(&mut state.armed) {
                return;
            }
            state.holds = true;
        }
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if !state.holds {
                return Poll::Ready(());
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with it")
    }
}

struct Held<T> {
    line: Line,
    inner: T,
}

impl<T: Transport> Transport for Held<T> {
    fn conversation(&self) -> Result<Box<dyn Conversation>, TransportError> {
        let inner = Arc::from(self.inner.conversation()?);
        Ok(Box::new(HeldConversation { line: self.line.clone(), inner }))
    }

    fn background(&self) -> Arc<dyn Conversation> {
        Arc::new(HeldConversation { line: self.line.clone(), inner: self.inner.background() })
    }
}

struct HeldConversation {
    line: Line,
    inner: Arc<dyn Conversation>,
}

impl Conversation for HeldConversation {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpResponse, TransportError>> {
        let is_document = request.url.contains("/.well-known/") || request.url.ends_with("/keys");
        let line = self.line.clone();
        let answer = self.inner.send(request);
        Box::pin(async move {
            let answer = answer.await;
            if !is_document {
                line.pass().await;
            }
            answer
        })
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.inner.close()
    }
}

//! What the core traces, for the app's own log: of this library alone, without secrets, and never slower than the app's side.

use core::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::audit::SinkException;
use crate::error::AuthError;
use crate::runtime::finish_now;

/// Where log lines go. Called on one background thread; what it throws loses that line and nothing else.
#[uniffi::export(with_foreign)]
pub trait LogSink: Send + Sync {
    /// Takes one line.
    fn log(&self, level: LogLevel, line: String) -> Result<(), SinkException>;
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, uniffi::Enum)]
pub enum LogLevel {
    /// A defect, or something that somebody should look at.
    Error,
    /// Something odd.
    Warn,
    /// Something of note.
    Info,
    /// Every attempt and event.
    Debug,
}

/// Gives this process's log lines to `sink` from now on, or to nobody.
#[uniffi::export]
pub fn set_log_sink(sink: Option<Arc<dyn LogSink>>) -> Result<(), AuthError> {
    finish_now(|| {
        let log = log();
        log.wanted.store(sink.is_some(), Ordering::SeqCst);
        *log.sink.lock().unwrap_or_else(PoisonError::into_inner) = sink;
        Ok(())
    })
}

/// The only target whose events are taken: the core's and this crate's own.
const TARGET: &str = "directauth";
/// Lines that wait; more of them are dropped and counted.
const MAX_QUEUED: usize = 256;

type Line = (LogLevel, String);

struct Log {
    wanted: AtomicBool,
    sink: Mutex<Option<Arc<dyn LogSink>>>,
    queue: SyncSender<Line>,
    dropped: AtomicU64,
}

/// The log of this process, whose thread lives as long as that.
fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let (queue, lines) = sync_channel::<Line>(MAX_QUEUED);
        let deliver = move || {
            for (level, line) in lines {
                let sink = log().sink.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let Some(sink) = sink else { continue };
                let dropped = log().dropped.swap(0, Ordering::SeqCst);
                let line = if dropped == 0 { line } else { format!("{line} ({dropped} lines before it were dropped)") };
                // A sink that fails loses this line.
                let _ = sink.log(level, line);
            }
        };
        // Without a thread nothing is delivered; the queue fills and drops.
        let _ = std::thread::Builder::new().name("directauth-log".to_owned()).spawn(deliver);
        // Somebody else's subscriber can only be one of this library's own tests.
        let _ = tracing::subscriber::set_global_default(Lines);
        Log { wanted: AtomicBool::new(false), sink: Mutex::default(), queue, dropped: AtomicU64::new(0) }
    })
}

/// Takes events, and no spans.
struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == TARGET && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let log = log();
        if !log.wanted.load(Ordering::SeqCst) {
            return;
        }
        let level = match *event.metadata().level() {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warn,
            Level::INFO => LogLevel::Info,
            _ => LogLevel::Debug,
        };
        let mut line = Text::default();
        event.record(&mut line);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = log.queue.try_send((level, line.0)) {
            log.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event's fields in one line.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        // Writing into a text cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, "{name}={value:?}"),
        };
    }
}

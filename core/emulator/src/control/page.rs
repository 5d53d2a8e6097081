//! The page for people, as HTML. It is made of parts that [`super::events`] sends anew when they look otherwise; the
//! script puts them in place and sends what is clicked. Every button has an id, by which the keyboard's place is kept.

use std::borrow::Cow;
use std::time::Duration;

use maud::{DOCTYPE, Markup, html};
use serde_json::json;
use time::OffsetDateTime;

use super::view::{TotpView, UserView, View};
use crate::config::{Assurance, Factor, Status};
use crate::journal::Entry;
use crate::server::{Message, PendingPush, Reply, Totp, Troubles};
use crate::tenant::Tenant;

/// How many requests it shows.
pub(super) const ENTRIES: usize = 200;
/// How many characters of a text that a client has sent are shown: in the journal's line, and of a value.
const SHOWN_OF_LINE: usize = 200;
const SHOWN_OF_VALUE: usize = 4_000;
/// And how many pairs of a kind.
const SHOWN_PAIRS: usize = 100;
const SLOW_S: [u64; 4] = [0, 1, 5, 30];
const CLOCK_S: [(&str, &str, u64); 3] = [("minute", "+1 min", 60), ("hour", "+1 h", 3_600), ("day", "+1 day", 86_400)];

pub(super) fn style() -> Reply {
    asset("text/css; charset=utf-8", include_str!("page.css"))
}

pub(super) fn script() -> Reply {
    asset("text/javascript; charset=utf-8", include_str!("page.js"))
}

fn asset(kind: &str, text: &str) -> Reply {
    Reply { body: text.as_bytes().to_vec(), ..Reply::empty(200) }.header("Content-Type", kind)
}

/// The whole page, as it looks now.
pub(super) fn whole(tenant: &Tenant) -> Reply {
    let view = View::of(tenant);
    let parts = parts(&view);
    let part = |wanted: &str| parts.iter().find(|(id, _)| *id == wanted).map(|(_, html)| html);
    let section = |id: &str| html! { section id=(id) aria-labelledby=(format!("{id}-heading")) { (part(id).unwrap_or(&html! {})) } };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "DirectAuth emulator" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="stylesheet" href="page.css";
                script src="page.js" defer {}
            }
            body {
                header {
                    h1 { "DirectAuth emulator" }
                    p id="live" data-state="connecting" { "Connecting" }
                    p class="clock" {
                        time id="now" data-now=(view.now) { (time_of_day(view.now)) " UTC" } " "
                        span id="ahead" { (part("ahead").unwrap_or(&html! {})) }
                    }
                    (connection(tenant))
                }
                nav aria-label="Sections" {
                    a href="#pushes" { "Pushes" } a href="#inbox" { "Inbox" } a href="#users" { "Users" }
                    a href="#troubles" { "Troubles" } a href="#requests" { "Journal" }
                }
                main {
                    div class="people" { (section("pushes")) (section("inbox")) (section("users")) }
                    div class="server" { (section("troubles")) (journal(tenant)) }
                }
                p class="unseen" id="said" role="status" {}
                div id="problem" hidden {
                    p id="problem-text" role="alert" {}
                    button type="button" id="dismiss" { "Dismiss" }
                }
                noscript { p class="empty" { "This page needs its script to stay up to date and to act." } }
            }
        }
    };
    asset("text/html; charset=utf-8", &page.into_string())
}

/// The parts that change, by the id of what they are in.
pub(super) fn parts(view: &View) -> [(&'static str, Markup); 5] {
    [
        ("pushes", pushes(view)),
        ("inbox", inbox(view)),
        ("users", users(view)),
        ("troubles", troubles(view)),
        ("ahead", html! { @if let Some(ahead) = ahead(view.ahead) { (ahead) } }),
    ]
}

/// Requests, in the order given.
pub(super) fn entries<'a>(entries: impl Iterator<Item = &'a Entry>) -> Markup {
    html! { @for entry in entries { (request(entry)) } }
}

fn connection(tenant: &Tenant) -> Markup {
    let facts = [
        ("issuer", "Issuer", tenant.issuer()),
        ("org-issuer", "Org issuer", tenant.org_issuer()),
        ("client-id", "Client id", tenant.client_id()),
        ("resource", "Resource", tenant.resource_url()),
    ];
    html! {
        details id="connection" open {
            summary { "Connection" }
            dl {
                @for (id, name, value) in &facts {
                    div {
                        dt { (name) }
                        dd { code title=(value) { (value) } " " (copy(&format!("{id}-copy"), value, name)) }
                    }
                }
                div {
                    dt { "Trust" }
                    dd { a href="ca.pem" download { "Download ca.pem" } }
                }
            }
        }
    }
}

fn pushes(view: &View) -> Markup {
    let count = view.pushes.len() + view.more_pushes;
    html! {
        (heading("pushes", "Pushes", (count > 0).then(|| (count, count.to_string()))))
        @if view.pushes.is_empty() {
            p class="empty" {
                "No push is waiting. To get one, sign in with your app as a user who has " b { "push" } " among the factors"
                @if let Some(user) = view.users.iter().find(|user| user.factors.contains(&Factor::Push)) {
                    ", such as " code { (user.username) }
                }
                "."
            }
        } @else {
            ol class="cards" { @for push in &view.pushes { (card(view, push)) } }
            @if view.more_pushes > 0 { p class="more" { "and " (view.more_pushes) " more" } }
        }
    }
}

fn card(view: &View, push: &PendingPush) -> Markup {
    let id = format!("push-{}", push.id);
    let to = |action: &str| format!("pushes/{}/{action}", push.id);
    html! {
        li class="card" {
            h3 id=(id) { (view.name_of(&push.username)) }
            p class="quiet" { (push.username) }
            p { "Sign-in to " code { (view.client_id) } }
            p class="when" {
                span data-since=(super::millis(push.created)) { "just now" } " "
                span { "Expires in " span data-until=(super::millis(push.ends)) {} }
            }
            @if push.choices.is_empty() {
                div class="answers" {
                    button type="button" class="main" id=(format!("{id}-approve")) data-post=(to("approve"))
                        aria-describedby=(id) { "Approve" }
                    button type="button" id=(format!("{id}-deny")) data-post=(to("deny")) aria-describedby=(id) { "Deny" }
                }
            } @else {
                p class="ask" id=(format!("{id}-ask")) { "Tap the number that the app shows" }
                div class="numbers" role="group" aria-labelledby=(format!("{id}-ask")) {
                    @for number in &push.choices {
                        button type="button" id=(format!("{id}-{number}")) data-post=(to("tap"))
                            data-body=(json!({ "number": number })) aria-describedby=(id) { (number) }
                    }
                }
                button type="button" id=(format!("{id}-deny")) data-post=(to("deny")) aria-describedby=(id) {
                    "No, it’s not me"
                }
            }
        }
    }
}

fn inbox(view: &View) -> Markup {
    html! {
        (heading("inbox", "Inbox", None))
        @if view.messages.is_empty() {
            p class="empty" { "No code was sent yet. Codes by SMS, voice and e-mail arrive here." }
        } @else {
            ol class="rows" {
                @for (index, message) in (0..).zip(&view.messages) { (letter(view.sent.saturating_sub(index), message)) }
            }
        }
    }
}

fn letter(number: u64, message: &Message) -> Markup {
    let channel = match message.channel.as_str() {
        "sms" => "SMS",
        "voice" => "Voice",
        _ => "E-mail",
    };
    let what = format!("the code for {}", message.username);
    html! {
        li class="message" {
            (code(&message.code))
            p { b { (channel) } " " span class="quiet" data-since=(super::millis(message.at)) { "just now" } }
            (copy(&format!("message-{number}-copy"), &message.code, &what))
            p class="quiet" { (message.username) }
        }
    }
}

fn users(view: &View) -> Markup {
    html! {
        (heading("users", "Users", None))
        @if view.users.is_empty() {
            p class="empty" { "The configuration has no users." }
        } @else {
            ul class="rows" { @for (number, one) in (1..).zip(&view.users) { (user(number, one)) } }
        }
    }
}

fn user(number: u32, user: &UserView) -> Markup {
    let id = format!("user-{number}");
    let (state, status) = match user.status {
        Status::Active => ("active", "Active"),
        Status::Locked => ("locked", "Locked"),
        Status::PasswordExpired => ("password_expired", "Password expired"),
        Status::Unassigned => ("unassigned", "Not assigned"),
    };
    let (assurance, meaning) = match user.assurance {
        Assurance::OneFactor => ("1fa", "one factor"),
        Assurance::TwoFactors => ("2fa", "two factors"),
        Assurance::PhishingResistant => ("phr", "passkey"),
    };
    let is_locked = user.status == Status::Locked;
    let factors: Vec<&str> = user.factors.iter().map(|factor| factor.name()).collect();
    let factors = if factors.is_empty() { "none".to_owned() } else { factors.join(", ") };
    let path: String = form_urlencoded::byte_serialize(user.username.as_bytes()).collect();
    let lock = format!("users/{}/{}", path.replace('+', "%20"), if is_locked { "unlock" } else { "lock" });
    html! {
        li class="user" {
            h3 id=(id) { (user.name) }
            p class="badge" data-state=(state) { (status) }
            div class="toggle" {
                span id=(format!("{id}-lock-label")) { "Locked" }
                button type="button" role="switch" id=(format!("{id}-lock")) aria-checked=(is_locked)
                    aria-labelledby=(format!("{id} {id}-lock-label")) data-post=(lock) { (on_or_off(is_locked)) }
            }
            dl {
                dt { "Username" }
                dd { code { (user.username) } }
                dd { (copy(&format!("{id}-username-copy"), &user.username, &format!("the username of {}", user.name))) }
                dt { "Password" }
                @if let Some(password) = &user.password {
                    dd { code { (password) } }
                    dd { (copy(&format!("{id}-password-copy"), password, &format!("the password of {}", user.name))) }
                } @else {
                    dd class="quiet" { "none" }
                    dd {}
                }
                @if let Some(totp) = &user.totp { (authenticator(&id, user, totp)) }
                dt { "Assurance" }
                dd class="all" { (assurance) " " span class="quiet" { (meaning) } }
                dt { "Factors" }
                dd class="all" { (factors) }
            }
        }
    }
}

fn authenticator(id: &str, user: &UserView, totp: &TotpView) -> Markup {
    html! {
        dt { "TOTP code" }
        dd {
            (code(&totp.code)) " "
            progress data-until=(totp.until) data-span=(Totp::STEP * 1_000) aria-label="Time left for this code" {} " "
            span class="quiet" data-until=(totp.until) {}
        }
        dd { (copy(&format!("{id}-totp-copy"), &totp.code, &format!("the TOTP code of {}", user.name))) }
    }
}

fn troubles(view: &View) -> Markup {
    let Troubles { rate_limit_next, slow_ms, offline, wrong_signature } = view.troubles;
    let count = [rate_limit_next, slow_ms > 0, offline, wrong_signature].into_iter().filter(|is_on| *is_on).count();
    let sessions = match view.sessions {
        0 => "No live sessions".to_owned(),
        1 => "1 live session".to_owned(),
        many => format!("{many} live sessions"),
    };
    let row = |about: Markup, control: Markup| html! { li class="trouble" { p { (about) } (control) } };
    html! {
        (heading("troubles", "Troubles", (count > 0).then(|| (count, format!("{count} on")))))
        ul class="troubles" {
            (switch("rate-limit", "Rate-limit the next answer", "Turns off by itself once used.", rate_limit_next,
                "rate_limit_next"))
            (switch("offline", "Offline", "Connections end without an answer.", offline, "offline"))
            (switch("wrong-signature", "Wrong ID-token signature", "The token does not verify.", wrong_signature,
                "wrong_signature"))
            li class="trouble" data-on=(slow_ms > 0) {
                p { b id="slow-label" { "Slow" } " " span class="quiet" { "Delays each answer." } }
                div class="choice" role="group" aria-labelledby="slow-label" {
                    @for seconds in SLOW_S {
                        button type="button" id=(format!("slow-{seconds}")) aria-pressed=(slow_ms == seconds * 1_000)
                            data-post="troubles" data-body=(json!({ "slow_ms": seconds * 1_000 })) {
                            @if seconds == 0 { "Off" } @else { (seconds) " s" }
                        }
                    }
                }
            }
            (row(html! { b { "Signing key" } " " span class="quiet" { "Now " code { (view.key) } } },
                html! { button type="button" id="rotate-keys" data-post="keys/rotate" { "Rotate keys" } }))
            (row(html! { b { "Sessions" } " " span class="quiet" { (sessions) } },
                html! { button type="button" id="expire-sessions" data-post="revoke-everything" { "Expire sessions" } }))
            (row(html! {
                    b id="clock-label" { "Move the clock on" } " "
                    span class="quiet" { (ahead(view.ahead).unwrap_or_else(|| "Not moved".to_owned())) }
                },
                html! {
                    div class="choice" role="group" aria-labelledby="clock-label" {
                        @for (id, label, seconds) in CLOCK_S {
                            button type="button" id=(format!("clock-{id}")) data-post="clock"
                                data-body=(json!({ "advance_s": seconds })) { (label) }
                        }
                    }
                }))
            (row(html! { b { "Everything" } " " span class="quiet" { "Back to the configuration." } },
                html! {
                    button type="button" id="reset" data-post="reset" data-confirm="Really reset?" {
                        span { "Reset everything" } " " span { "Really reset?" }
                    }
                }))
        }
    }
}

fn switch(id: &str, label: &str, hint: &str, is_on: bool, member: &str) -> Markup {
    html! {
        li class="trouble" {
            p { b id=(format!("{id}-label")) { (label) } " " span class="quiet" id=(format!("{id}-hint")) { (hint) } }
            button type="button" role="switch" id=(id) aria-checked=(is_on) aria-labelledby=(format!("{id}-label"))
                aria-describedby=(format!("{id}-hint")) data-post="troubles" data-body=(json!({ member: !is_on })) {
                @if is_on && member == "rate_limit_next" { "Armed" } @else { (on_or_off(is_on)) }
            }
        }
    }
}

fn journal(tenant: &Tenant) -> Markup {
    html! {
        section id="requests" aria-labelledby="requests-heading" {
            div class="tools" {
                h2 id="requests-heading" tabindex="-1" { "Journal" }
                p class="quiet" id="shown" {}
                input type="search" id="filter" aria-label="Filter the journal" autocomplete="off" spellcheck="false"
                    placeholder="Filter by path, grant, outcome";
                button type="button" id="clear-journal" data-post="journal/clear" { "Clear" }
            }
            div class="columns" aria-hidden="true" {
                span { "Time (UTC)" } " " span { "Method" } " " span { "Path" } " " span { "Operation or grant" } " "
                span { "Status" } " " span { "Outcome" }
            }
            ol id="journal" data-most=(ENTRIES) { (tenant.read(|state| entries(state.journal.newest(ENTRIES, 0)))) }
            p class="empty" id="no-entry" { "No request arrived yet." }
        }
    }
}

/// One line; what is behind it is asked for when it is opened.
fn request(entry: &Entry) -> Markup {
    let id = format!("entry-{}", entry.number);
    let (status, class) = match entry.status {
        Some(status) => (status.to_string(), (status / 100).to_string()),
        None => ("none".to_owned(), "none".to_owned()),
    };
    let path = cut(&entry.path, SHOWN_OF_LINE);
    let (folder, file) = match path.rfind('/') {
        Some(slash) => path.split_at(slash + 1),
        None => ("", path.as_ref()),
    };
    let at = super::millis(entry.at);
    html! {
        li {
            details id=(id) {
                summary id=(format!("{id}-line")) {
                    time datetime=(date_and_time(at)) { (time_of_day(at)) "." (format!("{:03}", at % 1_000)) } " "
                    span class="method" { (cut(&entry.method, SHOWN_OF_LINE)) } " "
                    span class="path" { span { (folder) } (file) } " "
                    span class="kind" { (cut(entry.short_grant().unwrap_or(&entry.operation), SHOWN_OF_LINE)) } " "
                    span class="status" data-status=(class) { (status) } " "
                    span class="outcome" { (entry.outcome) }
                }
                div class="opened" data-behind=(format!("journal/{}", entry.number)) { p class="quiet" { "Loading" } }
            }
        }
    }
}

/// What is behind a line: the request and its answer.
pub(super) fn opened(entry: &Entry) -> Reply {
    let note = note(entry);
    let answer = entry.shown_answer().and_then(|answer| serde_json::to_string_pretty(&answer).ok());
    let opened = html! {
        div class="pairs" {
            (pairs("Query and form", entry.shown_params()))
            (pairs("Headers", entry.shown_headers()))
        }
        div class="answer" {
            h3 { "Answer" }
            @if let Some(note) = &note { p class="quiet" { (note) } }
            @if let Some(answer) = &answer { pre { (answer) } }
        }
    };
    asset("text/html; charset=utf-8", &opened.into_string())
}

fn pairs<'a>(title: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Markup {
    let pairs: Vec<_> = pairs.collect();
    html! {
        @if !pairs.is_empty() {
            h3 { (title) }
            dl { @for (name, value) in pairs.iter().take(SHOWN_PAIRS) { dt { (name) } dd { (cut(value, SHOWN_OF_VALUE)) } } }
            @if pairs.len() > SHOWN_PAIRS { p class="quiet" { "and " (pairs.len() - SHOWN_PAIRS) " more" } }
        }
    }
}

/// The beginning of a text, and how much of it there was.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => text.into(),
        Some((end, _)) => {
            let beginning = text.get(..end).unwrap_or_default();
            format!("{beginning}… ({} bytes)", text.len()).into()
        }
    }
}

fn heading(id: &str, title: &str, count: Option<(usize, String)>) -> Markup {
    html! {
        h2 id=(format!("{id}-heading")) tabindex="-1" {
            (title)
            @if let Some((count, text)) = count { " " span class="count" data-count=(count) { (text) } }
        }
    }
}

/// The gap in the middle is for the eye; what is copied and read has none.
fn code(code: &str) -> Markup {
    let (left, right) = code.split_at_checked(code.len() / 2).unwrap_or((code, ""));
    html! { code class="code" { (left) span { (right) } } }
}

fn copy(id: &str, text: &str, what: &str) -> Markup {
    html! {
        button type="button" class="copy" id=(id) data-copy=(text) aria-label=(format!("Copy {what}")) { "Copy" }
    }
}

fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "On" } else { "Off" }
}

/// `1 d 2 h ahead`, the two greatest units of it.
fn ahead(ahead: Duration) -> Option<String> {
    let seconds = ahead.as_secs();
    let units = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let units: Vec<String> =
        units.iter().filter(|(count, _)| *count > 0).take(2).map(|(count, unit)| format!("{count} {unit}")).collect();
    (!units.is_empty()).then(|| format!("{} ahead", units.join(" ")))
}

fn time_of_day(millis: u64) -> String {
    let seconds = millis / 1_000;
    format!("{:02}:{:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

fn date_and_time(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1_000).unwrap_or(i64::MAX);
    let date = OffsetDateTime::from_unix_timestamp(seconds).map(OffsetDateTime::date).unwrap_or(time::Date::MIN);
    format!("{date}T{}.{:03}Z", time_of_day(millis), millis % 1_000)
}

/// What the page says beside an answer, or instead of one that it cannot show.
pub(super) fn note(entry: &Entry) -> Option<String> {
    let (length, is_fault) = (entry.answer_length, entry.outcome.starts_with("fault: "));
    match (entry.status, entry.answer.len(), entry.shown_answer()) {
        (None, ..) if entry.outcome == "fault: garbage" => Some("What was sent is no answer.".to_owned()),
        (None, ..) => Some("No answer was given.".to_owned()),
        (_, 0, _) if is_fault => Some("The fault has made what was sent.".to_owned()),
        (_, 0, _) => Some("The answer has no body.".to_owned()),
        (_, kept, _) if kept < length => Some(format!("The answer has {length} bytes, too many to keep.")),
        (_, _, Some(_)) if is_fault => Some("This would have been sent; the fault has changed it.".to_owned()),
        (_, _, Some(_)) => None,
        (_, _, None) => Some(format!("The answer has {length} bytes and is not JSON.")),
    }
}

//! The wire: what is sent, and what an answer means. Pure functions of bytes; protocol.md §1–§5.

pub(crate) mod answer;
pub(crate) mod challenges;
pub(crate) mod extra_headers;
pub(crate) mod form;
pub(crate) mod http_date;
pub(crate) mod json;
pub(crate) mod metadata;
pub(crate) mod new_password;
pub(crate) mod oob;
pub(crate) mod passkey;
pub(crate) mod private;
pub(crate) mod rate_limit;
pub(crate) mod requests;
pub(crate) mod said;
pub(crate) mod tokens;

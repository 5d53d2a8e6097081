//! The real library on a simulated device, stopped at every effect, with everything that can happen there: nothing of it may
//! break an invariant of docs/sessions.md §11.
//!
//! `world` is time and processes, `server` the authorization server, `device` the store, the network and the lock, `events`
//! what goes wrong there, `app` what an app does, `cases` the scenarios and what has to be true after them, `wander` long
//! histories, `history` the invariants. A violation names its case; `CASE='…'` replays it.

mod app;
mod cases;
mod device;
mod events;
mod history;
mod server;
mod tests;
mod wander;
mod world;

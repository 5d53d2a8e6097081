//! The session contract (docs/sessions.md §4–§8) as a small model, enumerated against the invariants of its §11.
//!
//! Nothing of the engine runs here. `state` is the world: what the server keeps, what the store holds, what each process
//! knows and which effect of its work comes next. `rules` has the contract's decisions, and the wrong ones that a test
//! plants; where the page's older wording broke an invariant, the mended rule stands here and the older one is among the
//! wrong. `steps` says which events may happen in a state and what they do; `invariants` what must hold; `explore` visits
//! every state that can be reached, breadth first, so that a violation comes with a shortest history, and from each state
//! in which all work is done it runs the future without faults. `accounts` is a second, smaller world, of several sessions
//! in one store.
//!
//! What is left out: keys and DPoP, scopes, the requests before a refresh, the contents of tokens, `discard_unreadable()`.
//! A store call that takes effect and reports an error is the healthy one, because the rule looks at the read-back alone;
//! a caller that goes away changes nothing, by rule. Revoking a refresh token that was rotated does nothing here, and a
//! request that was given up and arrives beyond the leeway is a loss: both are the stricter reading of the server.

mod accounts;
mod explore;
mod invariants;
mod rules;
mod state;
mod steps;
mod tests;

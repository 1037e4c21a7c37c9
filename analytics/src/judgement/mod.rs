//! Judgement: how often causes strike, whether they became worse with a build, and whether a build may go out.
//!
//! No I/O: what is judged are [`Tables`] of counts of one system in one window. `docs/crash-statistics.md` explains the
//! numbers to those who read them. What everything here rests on:
//!
//! - **The unit is the machine-day**: a machine id that sent a heartbeat on a UTC day, and one that was struck on it. A
//!   count of machine ids grows with the time that a build was out, because machines take a new id every three days, and
//!   an id that changes builds is one of both. Days are equally long on all builds, so that their rates compare. Ids of
//!   heartbeats and of crashes rotate alike; a machine has at most one id more on the day on which it rotates, in both.
//! - **A machine-day is no coin.** Some machines crash again and again, and rotation hides that they are the same ones.
//!   `dispersion.rs` measures how often one comes back while it has one id and takes off from all counts what that makes
//!   them worth less.
//! - **One test** (`comparison.rs`): given all struck machine-days of a cause, those on the builds in question are a
//!   binomial share, by exposure, were the rate at most [`RATIO_BORNE`] times that of the others.
//! - **Few false reports**: of a system where nothing changed, anything at all is reported with a chance of at most
//!   [`FALSE_REPORTS`], however many causes and builds are looked at.

mod comparison;
mod dispersion;
mod findings;
mod gate;
mod numerics;
mod rates;
mod rotation;
mod tables;

pub use comparison::{Comparison, RATIO_BORNE, Side};
pub use findings::{Change, FALSE_REPORTS, Finding, MACHINE_DAYS_MIN, STRUCK_MACHINES_MIN, findings};
pub use gate::{GATE_MACHINES_MIN, Gate, Hearing, QUIET_CAUSES_MAX, Suspicion, Verdict, gate};
pub use rates::{BuildRates, Interval, Rate, rates};
pub use rotation::{ID_LIFETIME_DAYS, MachineBounds, ids_of_a_machine_max, machine_bounds};
pub use tables::{Cause, Counts, Exposure, Strikes, Tables};

//! Tests of the window as its users see it, beside those of its parts.

mod damage;
mod model;
mod power;
mod restart;
mod rig;
mod sharing;

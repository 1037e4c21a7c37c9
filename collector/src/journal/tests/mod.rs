//! Tests of the whole journal, on a real directory and on a disk that forgets.

mod behaviour;
mod crash;
mod damage;
pub(crate) mod forgetful;
mod model;
mod rig;
mod tool;

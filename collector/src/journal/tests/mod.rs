//! Tests of the whole journal, on a real directory and on a disk that forgets.

mod behaviour;
mod crash;
mod damage;
mod forgetful;
mod model;
mod rig;

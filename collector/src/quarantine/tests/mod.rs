//! Tests of the whole quarantine: the shelf step by step on a disk that forgets, the rest on a real directory.

mod around;
mod behaviour;
mod crash;
mod limits;
mod model;
mod replays;
mod rig;

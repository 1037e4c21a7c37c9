//! What operators install, as they use it: files below `deploy/`, checked by the programs that read them.

mod containers;
mod monitoring;
mod scripts;
mod tools;

//! What operators install, as they use it: files below `deploy/`, checked by the programs that read them.

mod containers;
mod forwarded;
mod monitoring;
mod nginx;
mod package;
mod scripts;
mod smuggling;
mod tools;

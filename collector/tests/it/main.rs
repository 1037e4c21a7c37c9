//! The collector as a whole on real files: from an accepted report into the table, across restarts.

mod delivery;

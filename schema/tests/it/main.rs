//! What the crate promises to the others, through its public interface alone.

mod captures;
mod wire_properties;

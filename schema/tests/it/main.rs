//! What the crate promises to the others, through its public interface alone.

mod captures;
mod curation;
mod payload_properties;
mod payloads;
mod wire_properties;

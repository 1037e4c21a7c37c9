//! What the crate promises to the others, through its public interface alone.

mod captures;
mod payload_properties;
mod payloads;
mod curation;
mod wire_properties;

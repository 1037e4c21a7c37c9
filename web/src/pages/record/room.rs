//! How much more HTML a part of a page may have.

/// A number of bytes of HTML that are left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room(usize);

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Whether `bytes` more fit; after the first that do not, nothing does: a list has no holes.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or_default();
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_fits_behind_what_did_not() {
        let mut room = Room::new(10);
        assert!(room.take(4) && room.take(6) && room.take(0) && !room.take(1));
        let mut room = Room::new(10);
        assert!(!room.take(11) && !room.take(1));
    }
}

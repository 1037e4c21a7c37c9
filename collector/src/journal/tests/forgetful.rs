//! A disk in memory that does what real ones may: forgets what was not synced, fails, runs full, and loses power in the
//! middle of any operation.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::files::{Disk, DiskFile, SegmentReader};

/// What a disk writes or does not write as a whole.
const SECTOR_BYTES: usize = 512;

/// A small generator of numbers (splitmix64): the same seed, the same crash.
#[derive(Debug, Clone)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn flip(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
    Allocate(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => {
                let end = offset + written.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset..end].copy_from_slice(written);
            }
            Self::Truncate(size) => bytes.resize(*size, 0),
            Self::Allocate(size) => bytes.resize(bytes.len().max(*size), 0),
        }
    }

    /// The change in pieces that a disk may do without the others.
    fn sectors(&self) -> Vec<Self> {
        let Self::Write(offset, written) = self else { return vec![self.clone()] };
        let (mut pieces, mut at) = (Vec::new(), 0);
        while at < written.len() {
            let end = written.len().min(at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES);
            pieces.push(Self::Write(offset + at, written[at..end].to_vec()));
            at = end;
        }
        pieces
    }
}

#[derive(Debug, Clone, Default)]
struct Inode {
    /// What reads return.
    cached: Vec<u8>,
    /// What survives a power cut for certain.
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            change.apply(&mut self.durable);
        }
    }

    /// Some of what was not synced reaches the disk, the rest never will.
    fn lose(&mut self, chance: &mut Chance) {
        let style = chance.next() % 4;
        let pieces = std::mem::take(&mut self.unsynced).iter().flat_map(Change::sectors).collect::<Vec<_>>();
        let kept = usize::try_from(chance.next()).unwrap_or(0) % (pieces.len() + 1);
        for (at, piece) in pieces.iter().enumerate() {
            let reaches = match style {
                0 => false,
                1 => true,
                2 => at < kept,
                _ => chance.flip(),
            };
            if reaches {
                piece.apply(&mut self.durable);
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Naming {
    Create(u64, usize),
    Remove(u64),
}

impl Naming {
    fn apply(self, names: &mut BTreeMap<u64, usize>) {
        match self {
            Self::Create(name, inode) => _ = names.insert(name, inode),
            Self::Remove(name) => _ = names.remove(&name),
        }
    }
}

#[derive(Debug, Clone)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<u64, usize>,
    durable_names: BTreeMap<u64, usize>,
    unsynced_names: Vec<Naming>,
    /// Changing operations that were asked for.
    operations: u64,
    /// From which operation on how many fail.
    failing: Option<(u64, u64)>,
    /// Which operation is the last one that power lasts for, and that only in part.
    dies_at: Option<u64>,
    capacity_bytes: usize,
    can_allocate: bool,
    chance: Chance,
    salts: u64,
}

/// How an operation goes.
enum Luck {
    Good,
    Bad,
}

impl State {
    fn is_dead(&self) -> bool {
        self.dies_at.is_some_and(|last| self.operations > last)
    }

    fn step(&mut self) -> io::Result<Luck> {
        if self.is_dead() {
            return Err(io::Error::other("no power"));
        }
        let now = self.operations;
        self.operations += 1;
        let fails = self.failing.is_some_and(|(from, count)| (from..from + count).contains(&now));
        Ok(if fails || self.dies_at == Some(now) { Luck::Bad } else { Luck::Good })
    }

    fn create(&mut self, sequence: u64) -> usize {
        if let Some(inode) = self.names.get(&sequence).copied() {
            self.inodes[inode].change(Change::Truncate(0));
            return inode;
        }
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        let naming = Naming::Create(sequence, inode);
        naming.apply(&mut self.names);
        self.unsynced_names.push(naming);
        inode
    }

    fn used_bytes(&self) -> usize {
        self.names.values().map(|inode| self.inodes[*inode].cached.len()).sum()
    }

    fn check_space(&self, inode: usize, size: usize) -> io::Result<()> {
        let grows = size.saturating_sub(self.inodes[inode].cached.len());
        if self.used_bytes() + grows > self.capacity_bytes { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

/// See the module; clones are the same disk.
#[derive(Clone)]
pub(crate) struct Forgetful {
    state: Arc<Mutex<State>>,
}

/// An open file of [`Forgetful`].
pub(crate) struct ForgetfulFile {
    disk: Forgetful,
    inode: usize,
}

impl Forgetful {
    pub(crate) fn new() -> Self {
        let state = State {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            operations: 0,
            failing: None,
            dies_at: None,
            capacity_bytes: usize::MAX,
            can_allocate: true,
            chance: Chance(1),
            salts: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A machine that lost its power and has it again: some of what was not synced is there.
    pub(crate) fn after_power_cut(&self, seed: u64) -> Self {
        let mut state = self.lock().clone();
        state.chance = Chance(seed);
        for naming in std::mem::take(&mut state.unsynced_names) {
            if state.chance.flip() {
                naming.apply(&mut state.durable_names);
            }
        }
        state.names.clone_from(&state.durable_names);
        for inode in &mut state.inodes {
            inode.lose(&mut state.chance);
            inode.cached.clone_from(&inode.durable);
        }
        Self::revived(state)
    }

    /// The same machine with another process: what was not synced can still be read.
    pub(crate) fn after_kill(&self) -> Self {
        Self::revived(self.lock().clone())
    }

    fn revived(mut state: State) -> Self {
        (state.dies_at, state.failing) = (None, None);
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Power ends in the middle of the operation that comes after `operations` others.
    pub(crate) fn die_after(&self, operations: u64) {
        let mut state = self.lock();
        state.dies_at = Some(state.operations + operations);
    }

    /// Lets `count` operations fail after `operations` others succeeded.
    pub(crate) fn fail_after(&self, operations: u64, count: u64) {
        let mut state = self.lock();
        state.failing = Some((state.operations + operations, count));
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.lock().is_dead()
    }

    /// Changing operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.lock().operations
    }

    pub(crate) fn set_capacity_bytes(&self, bytes: usize) {
        self.lock().capacity_bytes = bytes;
    }

    pub(crate) fn cannot_allocate(&self) {
        self.lock().can_allocate = false;
    }

    pub(crate) fn used_bytes(&self) -> usize {
        self.lock().used_bytes()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the disk")
    }
}

impl Disk for Forgetful {
    type File = ForgetfulFile;

    fn list(&self) -> io::Result<Vec<u64>> {
        Ok(self.lock().names.keys().copied().collect())
    }

    fn read(&self, sequence: u64, limit: u64) -> io::Result<Vec<u8>> {
        let state = self.lock();
        let inode = *state.names.get(&sequence).ok_or(io::ErrorKind::NotFound)?;
        let bytes = &state.inodes[inode].cached;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes[..limit].to_vec())
    }

    fn create(&self, sequence: u64) -> io::Result<ForgetfulFile> {
        let mut state = self.lock();
        let luck = state.step()?;
        let inode = state.create(sequence);
        match luck {
            Luck::Good => Ok(ForgetfulFile { disk: self.clone(), inode }),
            Luck::Bad => Err(io::Error::other("creation failed")),
        }
    }

    fn open(&self, sequence: u64) -> io::Result<ForgetfulFile> {
        let inode = *self.lock().names.get(&sequence).ok_or(io::ErrorKind::NotFound)?;
        Ok(ForgetfulFile { disk: self.clone(), inode })
    }

    fn remove(&self, sequence: u64) -> io::Result<()> {
        let mut state = self.lock();
        let Luck::Good = state.step()? else { return Err(io::Error::other("removal failed")) };
        let naming = Naming::Remove(sequence);
        naming.apply(&mut state.names);
        state.unsynced_names.push(naming);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.lock();
        let Luck::Good = state.step()? else { return Err(io::Error::other("sync of the directory failed")) };
        state.durable_names = state.names.clone();
        state.unsynced_names.clear();
        Ok(())
    }

    fn salt(&self) -> u64 {
        let mut state = self.lock();
        state.salts += 1;
        Chance(state.salts).next()
    }

    fn reader(&self) -> Arc<dyn SegmentReader> {
        Arc::new(self.clone())
    }
}

impl SegmentReader for Forgetful {
    fn read_at(&self, sequence: u64, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let segment = self.read(sequence, u64::MAX)?;
        let from = usize::try_from(offset).expect("small");
        segment.get(from..from + bytes).map(<[u8]>::to_vec).ok_or(io::ErrorKind::UnexpectedEof.into())
    }
}

impl DiskFile for ForgetfulFile {
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        if !state.can_allocate {
            return Ok(());
        }
        let Luck::Good = state.step()? else { return Err(io::Error::other("allocation failed")) };
        let size = usize::try_from(bytes).expect("small");
        state.check_space(self.inode, size)?;
        state.inodes[self.inode].change(Change::Allocate(size));
        Ok(())
    }

    fn put(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let luck = state.step()?;
        let offset = usize::try_from(offset).expect("small");
        state.check_space(self.inode, offset + bytes.len())?;
        let written = match luck {
            Luck::Good => bytes.len(),
            Luck::Bad => usize::try_from(state.chance.next()).unwrap_or(0) % (bytes.len() + 1),
        };
        state.inodes[self.inode].change(Change::Write(offset, bytes[..written].to_vec()));
        match luck {
            Luck::Good => Ok(()),
            Luck::Bad => Err(io::Error::other("write failed")),
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let Luck::Good = state.step()? else { return Err(io::Error::other("truncation failed")) };
        state.inodes[self.inode].change(Change::Truncate(usize::try_from(bytes).expect("small")));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        if let Luck::Good = state.step()? {
            state.inodes[self.inode].sync();
            return Ok(());
        }
        // As Linux does: the pages count as clean, are still read, and what is on disk is anybody's guess.
        let mut chance = state.chance.clone();
        state.inodes[self.inode].lose(&mut chance);
        state.chance = chance;
        Err(io::Error::other("sync failed"))
    }
}

#[test]
fn forgets_what_was_not_synced_and_keeps_what_was() {
    let disk = Forgetful::new();
    let file = disk.create(1).expect("created");
    file.put(0, b"durable").expect("written");
    file.sync_data().expect("synced");
    disk.sync_directory().expect("synced");
    file.put(7, b" or not").expect("written");
    disk.create(2).expect("created");
    assert_eq!(disk.after_kill().read(1, 100).expect("read"), b"durable or not");
    let outcomes: Vec<_> = (0..64)
        .map(|seed| {
            let disk = disk.after_power_cut(seed);
            (disk.read(1, 100).expect("read"), disk.list().expect("a list"))
        })
        .collect();
    assert!(outcomes.iter().all(|(bytes, names)| bytes.starts_with(b"durable") && names.contains(&1)));
    assert!(outcomes.iter().any(|(bytes, _)| bytes == b"durable") && outcomes.iter().any(|(bytes, _)| bytes.len() > 7));
    assert!(outcomes.iter().any(|(_, names)| names.len() == 1) && outcomes.iter().any(|(_, names)| names.len() == 2));
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next_one() {
    let lost = (0..64).filter(|seed| {
        let disk = Forgetful::new();
        let file = disk.create(1).expect("created");
        disk.sync_directory().expect("synced");
        disk.lock().chance = Chance(*seed);
        file.put(0, b"x").expect("written");
        disk.fail_after(0, 1);
        assert!(file.sync_data().is_err());
        file.sync_data().expect("synced");
        disk.after_power_cut(*seed).read(1, 1).expect("read").is_empty()
    });
    assert!(lost.count() > 0);
}

//! A local object store whose writes are on the disk when they return.
//!
//! The journal forgets a batch once the table's log names it, so the log has to survive a power cut; the stock local
//! store does not sync what it writes.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::directory;

const STORE: &str = "synced local files";

/// See the module. Rooted at `/`, like the store that it wraps.
#[derive(Debug)]
pub(crate) struct SyncedFiles {
    files: Arc<LocalFileSystem>,
    /// Makes the names of temporary files of concurrent writes differ.
    writes: AtomicU64,
}

impl SyncedFiles {
    pub(crate) fn new() -> Self {
        Self { files: Arc::new(LocalFileSystem::new()), writes: AtomicU64::new(0) }
    }

    fn temporary(&self, target: &FilePath) -> PathBuf {
        let count = self.writes.fetch_add(1, Ordering::Relaxed);
        target.with_extension(format!("{count}.{}.tmp", std::process::id()))
    }
}

impl fmt::Display for SyncedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

#[async_trait]
impl ObjectStore for SyncedFiles {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let target = self.files.path_to_filesystem(location)?;
        let temporary = self.temporary(&target);
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotSupported { source: "conditional updates of local files".into() });
            }
        };
        let path = location.to_string();
        run(move || place(&target, &temporary, &payload, create).map_err(|error| classify(error, path))).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = self.files.path_to_filesystem(location)?;
        let path = target.clone();
        run(move || parent(&path).and_then(make_directory).map_err(generic)).await?;
        let upload = self.files.put_multipart_opts(location, options).await?;
        Ok(Box::new(SyncedUpload { upload, target }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    /// Deletes one file after the other in the order of their names: of a log, what is left is always its end.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let files = Arc::clone(&self.files);
        let sorted = locations.try_collect::<Vec<_>>().map_ok(|mut all| {
            all.sort_unstable();
            stream::iter(all).then(move |path| {
                let files = Arc::clone(&files);
                async move { files.delete(&path).await.map(|()| path) }
            })
        });
        sorted.try_flatten_stream().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let target = self.files.path_to_filesystem(to)?;
        let path = target.clone();
        run(move || parent(&path).and_then(make_directory).map_err(generic)).await?;
        self.files.copy_opts(from, to, options).await?;
        run(move || sync_file_and_directory(&target).map_err(generic)).await
    }
}

#[derive(Debug)]
struct SyncedUpload {
    upload: Box<dyn MultipartUpload>,
    target: PathBuf,
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await?;
        let target = self.target.clone();
        run(move || sync_file_and_directory(&target).map_err(generic)).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

/// Writes the whole payload beside the target, syncs it, and only then gives it its name: never a torn file.
fn place(target: &FilePath, temporary: &FilePath, payload: &PutPayload, create: bool) -> io::Result<()> {
    let directory = parent(target)?;
    make_directory(directory)?;
    let written = write_synced(temporary, payload)
        .and_then(|()| if create { fs::hard_link(temporary, target) } else { fs::rename(temporary, target) });
    if create || written.is_err() {
        // What stays behind is an unnamed copy that no reader looks at; the outcome is decided above.
        let _ = fs::remove_file(temporary);
    }
    written?;
    directory::sync(directory)
}

fn write_synced(path: &FilePath, payload: &PutPayload) -> io::Result<()> {
    let mut file = File::create(path)?;
    for chunk in payload {
        file.write_all(chunk)?;
    }
    file.sync_all()
}

/// Makes a finished file and its name survive a power cut.
pub(crate) fn sync_file_and_directory(path: &FilePath) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    directory::sync(parent(path)?)
}

/// Those of the table are made when it is opened, so that a commit does not have to look at them.
fn make_directory(path: &FilePath) -> io::Result<()> {
    if path.is_dir() { Ok(()) } else { directory::durable(path) }
}

fn parent(path: &FilePath) -> io::Result<&FilePath> {
    path.parent().ok_or_else(|| io::Error::other("a file without a directory"))
}

fn classify(error: io::Error, path: String) -> Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
        _ => generic(error),
    }
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: STORE, source: Box::new(error) }
}

async fn run<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(generic)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(directory: &tempfile::TempDir, name: &str) -> Path {
        Path::from_absolute_path(directory.path().join(name)).expect("an absolute path")
    }

    #[tokio::test]
    async fn a_file_is_created_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, path) = (SyncedFiles::new(), location(&directory, "log/1.json"));
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&path, "first".into(), create()).await.expect("the first write");
        let second = store.put_opts(&path, "second".into(), create()).await;
        assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
        let bytes = store.get(&path).await.expect("a file").bytes().await.expect("bytes");
        assert_eq!(bytes, "first");
    }

    #[tokio::test]
    async fn nothing_else_stays_in_the_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, path) = (SyncedFiles::new(), location(&directory, "a.json"));
        store.put(&path, "one".into()).await.expect("a write");
        store.put(&path, "two".into()).await.expect("an overwrite");
        let names: Vec<_> =
            fs::read_dir(directory.path()).expect("a listing").map(|e| e.expect("entry").file_name()).collect();
        assert_eq!(names, ["a.json"]);
    }
}

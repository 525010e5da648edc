//! The files of a business: where they lie, whether they have changed, and what they come to.

use super::collection::Collection;
use super::documents::{self, is_document};
use super::excerpt::Chunk;
use super::fault::{FileFault, FileFaultKind};
use super::flat_index::FlatIndex;
use super::metadata;
use super::ranking::Ranking;
use crate::config::{RetrievalKind, RetrievalSettings};
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most documents in the folder of one business.
pub(super) const DOCUMENTS_MAX: usize = 1000;

/// Most bytes that reading metadata takes, for each byte of it: itself, its chunks, and the list they are in. Chunks of no text
/// take most, and are measured in the whole process (`tests/retrieval/bounds.rs`).
const METADATA_FACTOR: u64 = 5;
/// Likewise of text whose words are compared; and for its vocabulary, which does not grow with it.
const TEXT_FACTOR: u64 = 16;
const VOCABULARY_BYTES: u64 = 1024 * 1024;

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileState {
    path: PathBuf,
    /// When it was written, how long it is, and which file it is; `None` if it is not there.
    stamp: Result<Option<(SystemTime, u64, u64)>, ErrorKind>,
}

impl FileState {
    fn of(path: PathBuf) -> Self {
        let stamp = match fs::metadata(&path) {
            // Whoever opens a pipe waits.
            Ok(facts) if !facts.is_file() => Err(ErrorKind::InvalidInput),
            Ok(facts) => match facts.modified() {
                Ok(modified) => Ok(Some((modified, facts.len(), facts.ino()))),
                Err(error) => Err(error.kind()),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.kind()),
        };
        Self { path, stamp }
    }

    /// The file's length; `None` if there is no file.
    fn length(&self) -> Result<Option<u64>, FileFault> {
        match self.stamp {
            Ok(stamp) => Ok(stamp.map(|(_, length, _)| length)),
            Err(kind) => Err(self.fault(FileFaultKind::Unreadable(kind))),
        }
    }

    fn fault(&self, kind: impl Into<FileFaultKind>) -> FileFault {
        FileFault {
            path: self.path.clone(),
            kind: kind.into(),
        }
    }
}

/// The state of all files of a business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileStates {
    index: Option<FileState>,
    metadata: Option<FileState>,
    documents: Vec<FileState>,
}

impl FileStates {
    /// Is nothing there at all?
    pub(super) fn is_absent(&self) -> bool {
        let known = self.index.iter().chain(&self.metadata);
        known
            .chain(&self.documents)
            .all(|file| file.stamp == Ok(None))
    }

    /// Bytes of what is remembered of a folder of documents, as it was and as it is.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |file: &FileState| size_of::<FileState>() + file.path.as_os_str().len();
        self.documents.iter().map(bytes).sum::<usize>() * 2
    }

    /// Most bytes that reading these files takes, and what is read.
    pub(super) fn bytes_needed(&self) -> u64 {
        let bytes = |files: &mut dyn Iterator<Item = &FileState>| {
            let lengths = files.filter_map(|file| file.length().ok().flatten());
            lengths.fold(0, u64::saturating_add)
        };
        if self.index.is_some() {
            let described = bytes(&mut self.metadata.iter()).saturating_mul(METADATA_FACTOR);
            let vectors = FlatIndex::bytes_needed(bytes(&mut self.index.iter()));
            vectors.saturating_add(described)
        } else {
            let text = bytes(&mut self.metadata.iter().chain(&self.documents));
            let text = text.saturating_mul(TEXT_FACTOR);
            text.saturating_add(VOCABULARY_BYTES + self.bytes() as u64)
        }
    }

    /// What is wrong with all of them; the first is named.
    pub(super) fn fault(&self, kind: FileFaultKind) -> FileFault {
        let files = self.index.iter().chain(&self.metadata);
        let first = files.chain(&self.documents).next();
        let path = first.map_or_else(PathBuf::new, |file| file.path.clone());
        FileFault { path, kind }
    }
}

/// Where the files of businesses lie.
#[derive(Debug)]
pub(super) struct Folders {
    kind: RetrievalKind,
    path: Option<PathBuf>,
    documents: Option<PathBuf>,
}

impl Folders {
    pub(super) fn new(settings: &RetrievalSettings) -> Self {
        Self {
            kind: settings.kind,
            path: settings.path.clone(),
            documents: settings.documents.clone(),
        }
    }

    /// The state of the files of a business, whose id is one.
    pub(super) fn states(&self, business_id: &str) -> FileStates {
        let of = |end: &str| {
            let path = self.path.as_ref()?;
            Some(FileState::of(
                path.join(format!("business_{business_id}{end}")),
            ))
        };
        let is_by_vectors = self.kind == RetrievalKind::Faiss;
        let documents = self.documents.as_ref().filter(|_| !is_by_vectors);
        FileStates {
            index: of(".index").filter(|_| is_by_vectors),
            metadata: of("_metadata.json"),
            documents: documents.map_or_else(Vec::new, |folder| listed(&folder.join(business_id))),
        }
    }

    /// Reads the files of a business, which were in these states; `None` if there are none. What is read has at most
    /// `most` bytes.
    ///
    /// # Errors
    /// The first file that is not as it should be, or has changed meanwhile.
    pub(super) fn read(
        &self,
        business_id: &str,
        states: &FileStates,
        most: usize,
    ) -> Result<Option<Collection>, FileFault> {
        if states.is_absent() {
            return Ok(None);
        }
        let read = match (&states.index, &states.metadata) {
            (Some(index), Some(metadata)) => vectors(index, metadata),
            _ => words(states, most),
        };
        let now = self.states(business_id);
        if now != *states {
            // Whatever was read: it was of two states, or of none.
            return Err(states.fault(FileFaultKind::Changing));
        }
        read.map(Some)
    }
}

/// The documents of a folder, by name; one more than there may be, if there are more.
fn listed(folder: &Path) -> Vec<FileState> {
    let unreadable = |kind| {
        vec![FileState {
            path: folder.to_owned(),
            stamp: Err(kind),
        }]
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => return unreadable(error.kind()),
    };
    let paths = entries.filter_map(|entry| match entry {
        Ok(entry) => Some(entry.path()).filter(|path| is_document(path)).map(Ok),
        Err(error) => Some(Err(error)),
    });
    match paths
        .take(DOCUMENTS_MAX + 1)
        .collect::<io::Result<Vec<_>>>()
    {
        Ok(mut paths) => {
            paths.sort_unstable();
            paths.into_iter().map(FileState::of).collect()
        }
        Err(error) => unreadable(error.kind()),
    }
}

fn vectors(index: &FileState, metadata: &FileState) -> Result<Collection, FileFault> {
    let Some(length) = index.length()? else {
        return Err(index.fault(FileFaultKind::Missing));
    };
    let file = File::open(&index.path).map_err(|error| index.fault(error))?;
    let read = FlatIndex::read(&mut BufReader::new(file), length);
    let vectors = read.map_err(|kind| index.fault(kind))?;
    let chunks = described(metadata)?;
    if chunks.len() != vectors.vectors() {
        return Err(metadata.fault(FileFaultKind::Mismatch {
            chunks: chunks.len(),
            vectors: vectors.vectors(),
        }));
    }
    Ok(Collection::of_vectors(chunks, vectors))
}

fn words(states: &FileStates, most: usize) -> Result<Collection, FileFault> {
    let mut chunks = Vec::new();
    if let Some(metadata) = &states.metadata
        && metadata.length()?.is_some()
    {
        chunks.extend(described(metadata)?);
    }
    for (at, document) in states.documents.iter().enumerate() {
        if at == DOCUMENTS_MAX {
            return Err(document.fault(FileFaultKind::TooMany(DOCUMENTS_MAX)));
        }
        let bytes = whole(document)?;
        let text =
            String::from_utf8(bytes).map_err(|_binary| document.fault(FileFaultKind::NotText))?;
        chunks.extend(documents::chunks(&document.path, &text));
    }
    let taken: usize = chunks.iter().map(Chunk::bytes).sum();
    let ranking = Ranking::new(&chunks, most.saturating_sub(taken));
    let ranking = ranking.map_err(|bytes| {
        let bytes = taken.saturating_add(bytes) as u64;
        states.fault(FileFaultKind::TooLarge { bytes, most })
    })?;
    Ok(Collection::of_words(chunks, ranking))
}

fn described(metadata: &FileState) -> Result<Vec<Chunk>, FileFault> {
    let text = whole(metadata)?;
    metadata::parse(&text).map_err(|kind| metadata.fault(kind))
}

/// The bytes of a file, no more than its state says.
fn whole(file: &FileState) -> Result<Vec<u8>, FileFault> {
    let Some(length) = file.length()? else {
        return Err(file.fault(FileFaultKind::Missing));
    };
    let opened = File::open(&file.path).map_err(|error| file.fault(error))?;
    // Of its length: a buffer that grows takes up to three times as much.
    let mut bytes = Vec::new();
    let length_bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes.try_reserve_exact(length_bytes).is_err() {
        return Err(file.fault(FileFaultKind::Unreadable(ErrorKind::OutOfMemory)));
    }
    let read = opened.take(length).read_to_end(&mut bytes);
    read.map_err(|error| file.fault(error))?;
    Ok(bytes)
}

//! The files of a journal, and that one process alone writes them.

use super::fault::JournalFault;
use crate::archive::cursor::Cursor;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Most damaged journals that are put aside; then somebody has to look.
const ASIDE_MAX: u32 = 100;

/// The journal's file and those beside it, by what is behind its name.
const DATABASE: &str = "";
const LOG: &str = "-wal";
const LOG_INDEX: &str = "-shm";
const LOCK: &str = ".lock";

/// Who may read what customers say: the owner alone. The store gives the files that it makes the mode of the first.
const MODE: u32 = 0o600;

/// Which file lies somewhere, whatever its name: its device and its number there. `None`: none does.
type FileIdentity = Option<(u64, u64)>;

/// A journal's file and what lies beside it. While this lives no other process has it; the system ends that with the
/// process, however it ends.
#[derive(Debug)]
pub(super) struct JournalFiles {
    /// As the settings have it.
    named: PathBuf,
    /// Where it lies: no link. The store's own files are beside it, and so is the lock, whatever name it goes by.
    path: PathBuf,
    /// Locked. The name stays: two processes that lock two files of one name would both have it. Inside is how far the
    /// journal has come, for one that comes back shorter.
    lock: File,
    /// Those that are written.
    written: [(&'static str, FileIdentity); 4],
}

impl JournalFiles {
    /// Takes the journal for this process.
    pub(super) fn lock(path: &Path) -> Result<Self, JournalFault> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        options.mode(MODE);
        let open = |path: &Path| options.open(path).map_err(JournalFault::Unopened);
        let named = path.to_owned();
        let found = match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                drop(open(path)?);
                fs::canonicalize(path)
            }
            found => found,
        };
        let path = found.map_err(JournalFault::Unopened)?;
        let lock = open(&with(&path, LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalFault::InUse),
            Err(TryLockError::Error(error)) => return Err(JournalFault::Unopened(error)),
        }
        // The system's reason is clearer than the store's.
        drop(open(&path)?);
        Ok(Self {
            named,
            path,
            lock,
            written: [DATABASE, LOG, LOG_INDEX, LOCK].map(|ending| (ending, None)),
        })
    }

    /// The store has opened its files: those that lie there now.
    pub(super) fn opened(&mut self) {
        for (ending, identity) in &mut self.written {
            *identity = identity_of(&with(&self.path, ending));
        }
    }

    /// Are they still there? What is written into a file without a name is seen by nobody and gone with the process.
    pub(super) fn check(&self) -> Result<(), JournalFault> {
        let mut endings = self.written.iter().map(|(ending, _)| ending);
        let is_named = identity_of(&self.named) == identity_of(&self.path);
        if is_named && endings.all(|ending| self.is_there(ending)) {
            Ok(())
        } else {
            Err(JournalFault::Replaced)
        }
    }

    fn is_there(&self, ending: &str) -> bool {
        let found = identity_of(&with(&self.path, ending));
        let mut written = self.written.iter();
        written.any(|(name, identity)| *name == ending && *identity == found)
    }

    /// Takes a log away whose database lies there no more: another would be read with what is not its own.
    pub(super) fn remove_log(&self) -> io::Result<()> {
        if !self.is_there(DATABASE) && self.is_there(LOG) {
            fs::remove_file(with(&self.path, LOG))?;
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// As the settings have it.
    pub(super) fn named(&self) -> &Path {
        &self.named
    }

    /// Notes the newest event that is on the disk. Not synced, since it has to outlive the process alone; a failure costs
    /// no more than the note.
    pub(super) fn note(&self, newest: Cursor) {
        drop(self.lock.write_all_at(newest.to_string().as_bytes(), 0));
    }

    /// Notes it of a journal of which nothing is noted yet, and syncs that: a power cut must not make a stranger of it.
    ///
    /// # Errors
    /// [`JournalFault::Unopened`].
    pub(super) fn note_first(&self, newest: Cursor) -> Result<(), JournalFault> {
        let text = newest.to_string();
        let written = self.lock.write_all_at(text.as_bytes(), 0);
        let synced = written.and_then(|()| self.lock.sync_all());
        synced.map_err(JournalFault::Unopened)
    }

    /// The position that was noted of this journal, if one was.
    pub(super) fn noted(&self, journal: u64) -> Option<u64> {
        let mut text = [0; Cursor::BYTES];
        let read = self.lock.read_exact_at(&mut text, 0);
        let noted = read.ok().and_then(|()| str::from_utf8(&text).ok());
        let noted = noted.and_then(|text| Cursor::parse(text).ok())?;
        noted.position_in(journal, u64::MAX).ok()
    }

    /// Gives the journal's files other names; that of the first.
    pub(super) fn put_aside(&self) -> Result<PathBuf, JournalFault> {
        let free = (1..=ASIDE_MAX)
            .map(|number| with(&self.path, &format!(".damaged{number}")))
            .find(|path| !path.exists());
        let aside = free.ok_or_else(|| {
            JournalFault::Unopened(io::Error::other("too many damaged journals lie beside it"))
        })?;
        for ending in [LOG, LOG_INDEX, DATABASE] {
            match fs::rename(with(&self.path, ending), with(&aside, ending)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(JournalFault::Unopened(error));
                }
                _ => {}
            }
        }
        Ok(aside)
    }
}

fn identity_of(path: &Path) -> FileIdentity {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The path with this behind its name.
fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

//! Whether the files of certificates have changed since they were read.

use crate::config::TlsSettings;
use std::path::Path;
use std::time::SystemTime;

/// What tells one state of a file from another without reading it; `None`: it is not there.
type FileStamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> FileStamp {
    let facts = std::fs::metadata(path).ok()?;
    Some((facts.modified().ok()?, facts.len()))
}

/// The state of every file that the settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileStamps(Vec<FileStamp>);

impl FileStamps {
    pub(super) fn of(settings: &TlsSettings) -> Self {
        let own = settings.certificate.iter().chain(&settings.key);
        let sites = settings.sites.iter();
        let sites = sites.flat_map(|site| [&site.certificate, &site.key]);
        Self(own.chain(sites).map(|path| stamp(path)).collect())
    }
}

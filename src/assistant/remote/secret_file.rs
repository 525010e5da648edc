//! A secret that stands in a file of its own, such as a mounted one.

use crate::config::Secret;
use std::path::Path;

/// Longest file with a secret in it.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// What is in the file, without the white space around it; or why there is nothing of use.
pub(in crate::assistant) fn read_secret(path: &Path) -> Result<Secret, String> {
    let unread = |error| format!("cannot read {}: {error}", path.display());
    let about = std::fs::metadata(path).map_err(unread)?;
    if !about.is_file() || about.len() > SECRET_FILE_BYTES_MAX {
        return Err(format!(
            "{} is not a file of at most {SECRET_FILE_BYTES_MAX} bytes",
            path.display()
        ));
    }
    let text = std::fs::read_to_string(path).map_err(unread)?;
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{} holds no key", path.display()));
    }
    Ok(Secret::new(text))
}

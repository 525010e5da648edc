//! The files of `/.well-known/acme-challenge/` (RFC 8555 section 8.3): read from a folder that an ACME client writes.
//!
//! A name is a token of base64url, and nothing else is looked for: no dot, no slash, no escape. What is read is a plain
//! file, not what a link leads to, and no more of it than a key authorization can have.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Where they are.
const PREFIX: &str = "/.well-known/acme-challenge/";

/// Longest token: 128 bits are 22 characters, and nobody's is much longer.
const TOKEN_BYTES_MAX: usize = 128;

/// A token, a dot, and a thumbprint of 43 characters are 172 bytes at most.
const FILE_BYTES_MAX: u64 = 4096;

/// The token that a path asks for.
pub(super) fn token(path: &str) -> Option<&str> {
    let token = path.strip_prefix(PREFIX)?;
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_token = (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(is_legal);
    is_token.then_some(token)
}

/// The file of this token, if there is one. Blocks.
pub(super) fn read(folder: &Path, token: &str) -> Option<Vec<u8>> {
    let path = folder.join(token);
    let kind = fs::symlink_metadata(&path).ok()?;
    // Before it is opened: the opening of a pipe waits.
    if !kind.is_file() || kind.len() > FILE_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(&path).ok()?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= FILE_BYTES_MAX).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_base64url_and_nothing_else() {
        let long = "a".repeat(TOKEN_BYTES_MAX);
        for good in [
            "a",
            "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
            "_-",
            &long,
        ] {
            assert_eq!(token(&format!("{PREFIX}{good}")), Some(good));
        }
        let too_long = long.clone() + "a";
        for bad in [
            "",
            ".",
            "..",
            "../a",
            "a/b",
            "a/../b",
            "/a",
            "a%2fb",
            "%2e%2e",
            "a.b",
            ".htaccess",
            "a b",
            "a\0",
            "a\\b",
            "a+b",
            "a=",
            "é",
            &too_long,
        ] {
            assert_eq!(token(&format!("{PREFIX}{bad}")), None, "{bad:?}");
        }
        for path in [
            "/",
            "/a",
            "/.well-known/acme-challenge",
            "//.well-known/acme-challenge/a",
            "/.well-known/acme-challeng/a",
        ] {
            assert_eq!(token(path), None, "{path}");
        }
    }

    #[test]
    fn only_small_plain_files_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("good"), "good.thumb").expect("a file");
        fs::write(path("large"), vec![b'x'; FILE_BYTES_MAX as usize + 1]).expect("a file");
        fs::create_dir(path("folder")).expect("a folder");
        std::os::unix::fs::symlink(path("good"), path("link")).expect("a link");
        assert_eq!(
            read(folder.path(), "good").as_deref(),
            Some(&b"good.thumb"[..])
        );
        for name in ["large", "folder", "link", "absent"] {
            assert_eq!(read(folder.path(), name), None, "{name}");
        }
    }
}

//! A secret that stands in a file of its own, such as a mounted one.

use super::secret::Secret;
use std::path::Path;

/// Longest file with a secret in it.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// Shortest secret in bytes that requests are signed with: shorter ones are found by trying.
pub(crate) const SIGNING_SECRET_BYTES_MIN: usize = 16;

/// What is in the file, without the white space around it; or why there is nothing of use.
pub(crate) fn read_secret(path: &Path) -> Result<Secret, String> {
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

/// What requests are signed with, out of a setting or of its file; `keys` are the names of the two.
///
/// # Errors
/// The key at fault, and what is wrong with it: nothing of the secret.
pub(crate) fn signing_secret(
    [key, file_key]: [&'static str; 2],
    secret: Option<&Secret>,
    file: Option<&Path>,
) -> Result<Secret, (&'static str, String)> {
    let Some(path) = file else {
        return secret.cloned().ok_or_else(|| (key, "is unset".to_owned()));
    };
    let secret = read_secret(path).map_err(|what| (file_key, what))?;
    if secret.expose().len() < SIGNING_SECRET_BYTES_MIN {
        let path = path.display();
        let what = format!("{path} holds fewer than {SIGNING_SECRET_BYTES_MIN} bytes");
        return Err((file_key, what));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 2] = ["a.secret", "a.secret_file"];

    #[test]
    fn a_secret_of_a_file_is_as_long_as_any_and_is_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let of = |text: &str| {
            let path = folder.path().join("secret");
            std::fs::write(&path, text).expect("the file");
            signing_secret(KEYS, None, Some(&path))
        };
        let long = of(" 0123456789abcdef\n").expect("long enough");
        assert_eq!(long.expose(), "0123456789abcdef");
        for bad in [
            "",
            " \n",
            "0123456789abcde",
            "two words of many letters",
            "\u{e4}0123456789abcdef",
        ] {
            let (key, what) = of(bad).expect_err(bad);
            assert_eq!(key, "a.secret_file");
            assert!(
                !what.contains("0123456789") && !what.contains("words"),
                "{what}"
            );
        }
        assert!(of(&"x".repeat(5_000)).is_err());
        assert!(signing_secret(KEYS, None, None).is_err());
        let own = signing_secret(KEYS, Some(&Secret::new("x")), None);
        assert_eq!(own.expect("as checked").expose(), "x");
    }
}

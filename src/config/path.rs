//! Values by the paths of their keys.

use toml::Value;

/// Puts a value at its path.
pub(super) fn nest(root: &mut toml::Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            root.insert(path.to_owned(), value);
        }
        Some((section, rest)) => {
            let section = root
                .entry(section)
                .or_insert_with(|| Value::Table(toml::Table::new()));
            if let Value::Table(keys) = section {
                nest(keys, rest, value);
            }
        }
    }
}

/// The value at a path, the reverse of [`nest`].
pub(super) fn at<'v>(root: &'v toml::Table, path: &str) -> Option<&'v Value> {
    match path.split_once('.') {
        None => root.get(path),
        Some((section, rest)) => at(root.get(section)?.as_table()?, rest),
    }
}

//! The levels of `log.level`.

/// `level` or `module=level`, separated by commas.
///
/// Strict on purpose: the subscriber's own parser takes a misspelt level for the name of a module
/// and logs nothing.
pub(super) fn check_level(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    if text.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    for directive in text.split(',').map(str::trim) {
        let (module, level) = directive
            .split_once('=')
            .map_or((None, directive), |(module, level)| (Some(module), level));
        if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            return Err(format!("{level:?} is not a level"));
        }
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b))
        };
        if module.is_some_and(|module| !is_name(module)) {
            return Err(format!("{directive:?} names no module"));
        }
    }
    Ok(())
}

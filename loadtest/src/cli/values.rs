//! Values of flags that need more than parsing a number.

use jiff::SignedDuration;
use std::time::Duration;

/// A value as its flag has it.
pub(crate) fn flag(value: impl clap::ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// A number with a unit: ms, s, m or h.
/// Errors: Text that shows the right form.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok();
    parsed
        .and_then(|signed| Duration::try_from(signed).ok())
        .ok_or_else(|| {
            format!("{text:?} is not a duration; write for example 500ms, 10s, 10m or 2h")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert!(duration("10").is_err() && duration("-1s").is_err() && duration("1d").is_err());
    }
}

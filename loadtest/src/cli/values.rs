//! Values of flags that need more than parsing a number.

use std::time::Duration;

/// Most processes of one run.
pub(crate) const PROCESSES_MAX: usize = 16;

/// A value as its flag has it.
pub(crate) fn flag(value: impl clap::ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// A number of processes.
/// Errors: Text that says the bounds.
pub(super) fn processes(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (1..=PROCESSES_MAX).contains(number))
        .ok_or_else(|| format!("{text:?} is not a number from 1 to {PROCESSES_MAX}"))
}

/// A number with a unit: ms, s, m or h.
/// Errors: Text that shows the right form.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write for example 500ms, 10s, 10m or 2h");
    let at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let number: f64 = number.trim().parse().ok().ok_or_else(wrong)?;
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * unit)
        .ok()
        .ok_or_else(wrong)
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

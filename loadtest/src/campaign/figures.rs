//! Figures out of a report's JSON.

use serde_json::Value;
use std::collections::BTreeMap;

/// Figures by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// One figure; percentiles of nothing are none.
pub(crate) fn figure(report: &Value, pointer: &str) -> Option<f64> {
    let of = pointer
        .strip_suffix("_ms")
        .and_then(|of| of.rsplit_once('/'));
    let count = of.and_then(|(of, _)| report.pointer(&format!("{of}/count")));
    if count.and_then(Value::as_f64) == Some(0.0) {
        return None;
    }
    report.pointer(pointer)?.as_f64()
}

/// Those of these names and places that are there.
pub(crate) fn read(report: &Value, places: &[(&str, &str)]) -> Figures {
    let of = |&(name, place): &(&str, &str)| Some((name.to_owned(), figure(report, place)?));
    places.iter().filter_map(of).collect()
}

/// A list of sentences, such as `/verdict/failures`.
pub(crate) fn sentences(report: &Value, pointer: &str) -> Vec<String> {
    let list = report.pointer(pointer).and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

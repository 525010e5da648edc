//! The site's answers, counted by class of status.

use crate::metrics::{Counter, Metrics};
use hyper::StatusCode;
use std::sync::OnceLock;

/// The series of `upstream_answers`, each looked up once and not for every answer; none is there before its first one.
#[derive(Debug, Default)]
pub(super) struct AnswerCounters([OnceLock<Counter>; 4]);

impl AnswerCounters {
    /// Counts an answer.
    pub(super) fn count(&self, metrics: &Metrics, status: StatusCode) {
        let [ok, redirects, refusals, errors] = &self.0;
        let (counter, class) = match status.as_u16() / 100 {
            2 => (ok, "2xx"),
            3 => (redirects, "3xx"),
            4 => (refusals, "4xx"),
            _ => (errors, "5xx"),
        };
        let answers = &metrics.upstream_answers;
        let series = || answers.get_or_create(&[("status", class)]).clone();
        counter.get_or_init(series).inc();
    }
}

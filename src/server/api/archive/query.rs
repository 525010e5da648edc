//! What a reader asks for.

use crate::archive::{CursorFault, is_reader_name};
use crate::config::units::{format_duration, parse_duration};
use crate::http;
use crate::server::api::problem::{ApiProblem, ProblemKind};
use crate::server::api::query::check_query;
use std::time::Duration;

/// Most events of an answer, and how many they are unless the reader says.
const LIMIT_MAX: usize = 10_000;
const LIMIT: usize = 1000;

/// An answer ends with the event that passes so many bytes.
pub(super) const PAGE_BYTES: usize = 1024 * 1024;

/// What a reader asks for.
#[derive(Debug)]
pub(super) struct FeedQuery {
    pub(super) after: Option<String>,
    pub(super) wait: Duration,
    pub(super) limit: usize,
    pub(super) reader: Option<String>,
}

impl FeedQuery {
    /// Reads it strictly; nobody waits for longer than `wait_max`.
    pub(super) fn read(query: &str, wait_max: Duration) -> Result<Self, ApiProblem> {
        check_query(query, &["after", "wait", "limit", "reader"])?;
        let value = |name| http::parameter(Some(query), name);
        let wait = value("wait").map(|text| parse_duration(&text)).transpose();
        let wait = wait
            .map_err(|detail| wrong("wait", detail))?
            .unwrap_or_default();
        if wait > wait_max {
            let most = format_duration(wait_max);
            return Err(wrong("wait", format!("at most {most}")));
        }
        let limit = match value("limit") {
            None => LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                .ok_or_else(|| wrong("limit", format!("a number from 1 to {LIMIT_MAX}")))?,
        };
        let reader = value("reader").map(String::from);
        if reader.as_ref().is_some_and(|name| !is_reader_name(name)) {
            let detail = "1 to 64 letters, digits, '.', '_' and '-'".to_owned();
            return Err(wrong("reader", detail));
        }
        Ok(Self {
            after: value("after").map(String::from),
            wait,
            limit,
            reader,
        })
    }
}

/// A parameter that is none.
fn wrong(field: &str, detail: String) -> ApiProblem {
    ApiProblem::field(ProblemKind::Query, field, detail)
}

/// A cursor that is no place here.
pub(super) fn misplaced(fault: CursorFault) -> ApiProblem {
    match fault {
        CursorFault::Malformed => wrong("after", fault.to_string()),
        CursorFault::Foreign | CursorFault::Future | CursorFault::Lost { .. } => {
            ApiProblem::field(ProblemKind::Cursor, "after", fault.to_string())
        }
    }
}

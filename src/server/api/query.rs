//! The query of a request, read strictly.

use super::problem::{ApiProblem, ProblemKind};
use crate::http;

/// A query of these parameters only, each once at most.
pub(super) fn check_query(query: &str, known: &[&str]) -> Result<(), ApiProblem> {
    let mut seen = Vec::new();
    for (name, _) in http::parameters(query) {
        if !known.contains(&name.as_ref()) {
            let detail = match known {
                [] => "no parameter is taken".to_owned(),
                known => format!("known here: {}", known.join(", ")),
            };
            return Err(ApiProblem::field(ProblemKind::Query, &name, detail));
        }
        if seen.contains(&name) {
            return Err(ApiProblem::field(
                ProblemKind::Query,
                &name,
                "it is given twice",
            ));
        }
        seen.push(name);
    }
    Ok(())
}

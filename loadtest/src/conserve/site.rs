//! The Django site: where its rows are, and what its `manage.py` is asked for.

use super::account::Row;
use crate::clock::{SECOND, until};
use crate::ours::quoted;
use crate::server::shell;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A site whose database has just been killed takes an order after this long or never.
const PATIENCE: u64 = 120 * SECOND;
/// Between two attempts.
const LOOK: Duration = Duration::from_secs(1);

/// A site.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) python: PathBuf,
    pub(super) project: PathBuf,
    /// Where it runs.
    pub(super) folder: PathBuf,
    pub(super) database: Value,
    /// `settings.SUPPORTAL_GATEWAY`.
    pub(super) gateway: Value,
}

impl Site {
    /// The line that carries out an order of `manage.py`.
    pub(super) fn line(&self, order: &str) -> String {
        let text = |value: &Value| quoted(Path::new(&value.to_string()));
        let (python, manage) = (quoted(&self.python), self.project.join("manage.py"));
        format!(
            "env PYTHONUNBUFFERED=1 OPENAI_API_KEY=none VECTOR_DB_PATH=. SITE_DATABASE={} SITE_GATEWAY={} {python} {} {order}",
            text(&self.database),
            text(&self.gateway),
            quoted(&manage)
        )
    }

    /// Carries out an order, once there is a database for it; what it said.
    /// Errors: It cannot be carried out; the last line of what it said.
    pub(super) fn manage(&self, order: &str) -> Result<String, String> {
        let mut outcome = Err(String::new());
        until(PATIENCE, LOOK, || {
            outcome = self.try_manage(order);
            outcome.is_ok()
        });
        outcome
    }

    fn try_manage(&self, order: &str) -> Result<String, String> {
        let mut command = shell(&self.line(order), None);
        let output = command.current_dir(&self.folder).output();
        let output = output.map_err(|error| format!("{}: {error}", self.python.display()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        let (verb, last) = (order.split(' ').next(), errors.lines().last());
        Err(format!(
            "manage.py {}: {}",
            verb.unwrap_or_default(),
            last.unwrap_or_default()
        ))
    }

    /// All rows, in the order of their times.
    /// Errors: The site cannot be asked.
    pub(super) fn rows(&self) -> Result<Vec<Row>, String> {
        let dumped = self.manage("dump")?;
        Ok(dumped.lines().map(Row::read).collect())
    }
}

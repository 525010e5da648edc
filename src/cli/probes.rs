//! What `supportal check` finds out beside the settings: folders, and with flags the servers that they name.

use rustix::fs::{Access, access, statvfs};
use rustix::process::{getegid, geteuid};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use supportal::config::{ArchiveMode, AssistantKind, Config};
use supportal::internal::assistant::probe::{ProbeOutcome, probe};
use supportal::internal::{bridge, channels};

/// What is worth knowing of the folders that the server writes into, a line each.
pub(super) fn folders(config: &Config) -> String {
    let archive = &config.archive;
    let path = archive.path.as_deref();
    let path = path.filter(|_| archive.mode == ArchiveMode::Journal);
    let lines = path.map(|path| {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        format!(
            "  archive.path: {}\n",
            folder_line(folder, archive.bytes_max)
        )
    });
    let lines: String = lines.into_iter().collect();
    match lines.is_empty() {
        true => lines,
        false => format!("\nfolders that are written into\n{lines}"),
    }
}

/// Whose a folder is, its mode, its free bytes, and what is wrong with that for a journal of so many bytes.
fn folder_line(folder: &Path, bytes_max: usize) -> String {
    let facts = match std::fs::metadata(folder) {
        Ok(facts) => facts,
        Err(error) => return format!("{} NOT readable: {error}", folder.display()),
    };
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let is_writable = access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    let writable = if is_writable {
        "writable"
    } else {
        "NOT writable"
    };
    let free = statvfs(folder).map_or(0, |facts| facts.f_bavail.saturating_mul(facts.f_frsize));
    let mut line = format!(
        "{} is {writable} for this user ({user}:{group}); owner {}:{}, mode {:04o}, {free} bytes free",
        folder.display(),
        facts.uid(),
        facts.gid(),
        facts.mode() & 0o7777,
    );
    if free < bytes_max as u64 {
        line.push_str(&format!("; fewer than archive.bytes_max = {bytes_max}"));
    }
    line
}

/// Who answers customers, as far as that is known without a question.
pub(super) fn model_line(config: &Config) -> Option<&'static str> {
    let assistant = &config.assistant;
    let is_open = assistant.kind == AssistantKind::OpenAi && assistant.openai.model.is_none();
    is_open.then_some(
        "assistant.openai.model is unset: the first model answers that the server lists and whose name is not that of one for embeddings, ranking, speech or images; supportal check --model says which\n",
    )
}

/// What whoever is to answer answers, and whether anything came.
pub(super) fn check_model(config: &Config) -> (String, bool) {
    let title = "assistant\n";
    let probed = match probe(config) {
        Ok(Some(probed)) => probed,
        Ok(None) => {
            let text =
                "  nobody is asked over the network: assistant.kind is \"none\" or \"faq\"\n";
            return (format!("{title}{text}"), true);
        }
        Err(error) => return (format!("{title}  {error}\n"), false),
    };
    let model = probed.model.map_or_else(String::new, |model| {
        format!(", model {}", model.escape_debug())
    });
    let (took, is_good) = (probed.took.as_millis(), probed.outcome.is_ok());
    let came = match probed.outcome {
        Ok(ProbeOutcome::Answer(text, first)) => {
            format!(
                "answered in {took} ms, the first word after {} ms: {text}",
                first.as_millis()
            )
        }
        Ok(ProbeOutcome::Later) => format!("will answer later (202), said in {took} ms"),
        Ok(ProbeOutcome::Unwanted) => format!("wants no answer to this (204), said in {took} ms"),
        Err(why) => format!("NO ANSWER after {took} ms: {why}"),
    };
    (
        format!("{title}  {}{model}\n  {came}\n", probed.asked),
        is_good,
    )
}

/// What every Redis is like, and whether the bridge would work over all of them.
pub(super) fn check_redis(config: &Config) -> (String, bool) {
    let (mut text, mut is_good) = (String::new(), true);
    for (found, title, is_off) in [
        (
            bridge::probe::probe(config),
            "redis",
            "bridge.mode is \"off\": none is used",
        ),
        (
            channels::probe::probe(config),
            "redis of the channel layer",
            "channels.enabled is false: none is used",
        ),
    ] {
        text.push_str(&format!("{title}\n"));
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => {
                text.push_str(&format!("  {is_off}\n"));
                continue;
            }
            Err(error) => {
                text.push_str(&format!("  {error}\n"));
                is_good = false;
                continue;
            }
        };
        for finding in &found.findings {
            text.push_str(&format!("  {finding}\n"));
        }
        if let Some(nodes) = found.nodes {
            text.push_str(&format!("  other nodes heard: {nodes}\n"));
        }
        for warning in &found.warnings {
            text.push_str(&format!("  warning: {warning}\n"));
        }
        for difference in &found.differences {
            text.push_str(&format!("  DIFFERS: {difference}\n"));
        }
        for (what, name) in &found.names {
            text.push_str(&format!("  {what}: {name}\n"));
        }
        is_good &= found.findings.iter().all(|finding| finding.facts.is_ok());
        is_good &= found.differences.is_empty();
    }
    (text, is_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_too_small_or_not_there_is_called_so() {
        let folder = Path::new("/");
        assert!(folder_line(folder, usize::MAX).contains("; fewer than archive.bytes_max = "));
        assert!(!folder_line(folder, 0).contains("fewer"));
        let absent = folder_line(Path::new("/no/such/folder"), 0);
        assert!(absent.contains("NOT readable"), "{absent}");
    }
}

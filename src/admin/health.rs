//! `GET /ready` and `GET /health`: may clients be sent here, and which part is degraded, and why.

use super::sources::Sources;
use crate::bridge::Bridge;
use crate::clock::Millis;
use crate::redis::LinkReport;
use hyper::StatusCode;
use serde_json::{Value, json};

/// Why nobody is to be sent here while a consumer of the program's own does not return.
pub(super) const STUCK: &str = "a worker waits for a consumer that does not return";

/// Ready, ready but cut off from other nodes or without answers of the model, or not ready, because of other nodes or of
/// too little memory.
pub(super) fn readiness(sources: &Sources) -> (StatusCode, String) {
    let mut reasons = bridge_reasons(sources);
    if !reasons.is_empty() && sources.config.bridge.required {
        let text = format!("not ready: {}\n", reasons.join("; "));
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    // Whoever was sent here would be turned away.
    if let Some(reason) = sources.shedding.reason() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n"),
        );
    }
    // Never a reason to take nobody: while settings change, it is one of every node.
    reasons.extend(disagreements(sources));
    reasons.extend(archive_reason(sources));
    // Chat goes on without answers.
    reasons.extend(sources.assistant.degraded());
    reasons.extend(sources.vetting.degraded());
    // Nor that: other nodes ask the same login service, and credentials of other kinds are judged as ever.
    reasons.extend((sources.credentials)());
    if reasons.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        let text = format!("ready, degraded: {}\n", reasons.join("; "));
        (StatusCode::OK, text)
    }
}

/// Why other nodes, or Django, are not reached over a Redis.
fn bridge_reasons(sources: &Sources) -> Vec<String> {
    let (nodes, django) = link_reports(sources);
    nodes.iter().chain(&django).filter_map(reason).collect()
}

/// How each Redis of `bridge.urls` is, and each of `channels.hosts`.
fn link_reports(sources: &Sources) -> (Vec<LinkReport>, Vec<LinkReport>) {
    let nodes = sources.bridge.as_deref().map(Bridge::reports);
    let django = sources.channels.as_ref().map(|layer| layer.reports());
    (nodes.unwrap_or_default(), django.unwrap_or_default())
}

/// Which other nodes have other settings.
fn disagreements(sources: &Sources) -> Vec<String> {
    let bridge = sources.bridge.as_ref();
    bridge.map_or_else(Vec::new, |bridge| bridge.others().0)
}

/// Why what is said is not kept.
fn archive_reason(sources: &Sources) -> Option<String> {
    let failure = sources.archive.as_ref()?.failure()?;
    Some(format!("the archive does not write: {failure}"))
}

/// Why this Redis is not there.
fn reason(report: &LinkReport) -> Option<String> {
    let LinkReport { name, address, .. } = report;
    let reason = match report.reason.as_str() {
        "" => "connecting",
        reason => reason,
    };
    (!report.is_up).then(|| format!("{name} ({address}) is down: {reason}"))
}

/// The bridge's part of `/health`.
fn bridge_health(sources: &Sources) -> Value {
    if sources.bridge.is_none() && sources.channels.is_none() {
        return json!({ "mode": "off" });
    }
    let now = sources.clock.now();
    let (nodes, django) = link_reports(sources);
    let bridge = sources.bridge.as_ref();
    let others = bridge.map_or(0, |bridge| bridge.others().1);
    json!({
        "mode": sources.config.bridge.mode,
        "node": bridge.map(|bridge| bridge.node()),
        "redis": links(&nodes, now),
        "other_nodes": others,
        "django": links(&django, now),
    })
}

fn links(reports: &[LinkReport], now: Millis) -> Vec<Value> {
    reports
        .iter()
        .map(|report| {
            json!({
                "name": report.name,
                "address": report.address,
                "up": report.is_up,
                "for_seconds": now.since(report.since).as_secs(),
                "reason": report.reason,
                "canary_milliseconds": report.canary.map(|took| took.as_secs_f64() * 1_000.0),
                "rooms": report.rooms,
                "confirmed": report.confirmed,
                "outbox": report.outbox,
            })
        })
        .collect()
}

pub(super) async fn health(sources: &Sources) -> Value {
    let reports = sources.workers.audit(None).await;
    let answering = reports.len();
    let mut reasons = Vec::new();
    if sources.is_draining() {
        reasons.push("draining".to_owned());
    }
    if answering < sources.workers.count() && !sources.is_draining() {
        reasons.push(format!(
            "{} of {} workers do not answer",
            sources.workers.count() - answering,
            sources.workers.count()
        ));
    }
    if sources.broker.placement().is_any_stuck() {
        reasons.push(STUCK.to_owned());
    }
    reasons.extend(bridge_reasons(sources));
    reasons.extend(disagreements(sources));
    reasons.extend(archive_reason(sources));
    reasons.extend((sources.credentials)());
    reasons.extend(sources.shedding.reason());
    reasons.extend(sources.assistant.degraded());
    reasons.extend(sources.vetting.degraded());
    let unexplained: i64 = reports
        .iter()
        .map(|report| report.ledger.unexplained())
        .sum();
    if unexplained != 0 {
        reasons.push(format!("the ledger has a residue of {unexplained}"));
    }
    let prompts = sources.assistant.counts();
    json!({
        "status": if reasons.is_empty() { "ok" } else { "degraded" },
        "reasons": reasons,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": sources.clock.now().0 / 1_000,
        "workers": { "running": answering, "configured": sources.workers.count() },
        "connections": reports.iter().map(|report| report.connections).sum::<usize>(),
        "rooms": sources.broker.rooms(),
        "assistant": {
            "kind": sources.assistant.name(),
            "open": prompts.open,
            "replied": prompts.replied,
            "apologised": prompts.timeouts + prompts.panics + prompts.failures + prompts.stopped,
            "busy": prompts.busy + prompts.over_share,
        },
        "bridge": bridge_health(sources),
    })
}

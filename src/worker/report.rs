//! What a worker says about itself: counts to the shared metrics, answers to audits.

use super::handle::Report;
use super::members::RoomMembers;
use crate::broker::Broker;
use crate::broker::ledger::{Cause, Ledger};
use crate::metrics::Metrics;
use crate::name::RoomName;
use std::fmt;

type AuditReply = Box<dyn FnOnce(Report) + Send>;

/// What has been said already, and who has asked.
#[derive(Default)]
pub(super) struct Reporter {
    /// Of the worker's account, what the shared metrics know.
    counted: Ledger,
    audits: Vec<(Option<RoomName>, AuditReply)>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("counted", &self.counted)
            .finish_non_exhaustive()
    }
}

impl Reporter {
    /// Somebody asks for the account, of one room or of everything.
    pub(super) fn ask(&mut self, room: Option<RoomName>, reply: AuditReply) {
        self.audits.push((room, reply));
    }

    /// Deliveries that became due since the metrics heard of the account.
    pub(super) fn work(&self, members: &RoomMembers) -> u64 {
        members.ledger.expected - self.counted.expected
    }

    /// Adds what happened since the last time to the shared metrics.
    pub(super) fn publish(&mut self, metrics: &Metrics, members: &mut RoomMembers) {
        let written = std::mem::take(&mut members.written);
        metrics.bytes_written.inc_by(written.bytes);
        metrics.writes.inc_by(written.calls);
        if members.ledger != self.counted {
            publish_ledger(metrics, &self.counted, &members.ledger);
            self.counted = members.ledger;
        }
    }

    /// Answers who has asked.
    pub(super) fn answer(
        &mut self,
        broker: &Broker,
        worker: usize,
        connections: usize,
        members: &mut RoomMembers,
    ) {
        for (room, reply) in std::mem::take(&mut self.audits) {
            let ledger = match room {
                None => members.ledger,
                Some(name) => {
                    let room = broker.find(&name);
                    members.ledger_of(room.and_then(|room| room.slot_on(worker)))
                }
            };
            reply(Report {
                ledger,
                connections,
            });
        }
    }
}

/// Adds what happened between two readings of a worker's account to the shared metrics.
fn publish_ledger(metrics: &Metrics, before: &Ledger, after: &Ledger) {
    metrics
        .deliveries_expected
        .inc_by(after.expected - before.expected);
    metrics
        .deliveries_delivered
        .inc_by(after.delivered - before.delivered);
    for (cause, (after, before)) in Cause::ALL
        .iter()
        .zip(after.dropped.iter().zip(before.dropped))
    {
        if *after > before {
            metrics
                .deliveries_dropped
                .get_or_create(&[("cause", cause.label())])
                .inc_by(after - before);
        }
    }
    metrics
        .deliveries_queued
        .inc_by(after.queued.cast_signed() - before.queued.cast_signed());
    metrics
        .unexplained
        .inc_by(after.unexplained() - before.unexplained());
}

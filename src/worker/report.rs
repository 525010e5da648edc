//! What a worker says about itself: counts to the shared metrics, answers to audits.

use super::context::TurnTally;
use super::handle::Report;
use super::port::Port;
use super::rooms::key_of;
use super::turn::Worker;
use crate::broker::Consumers;
use crate::broker::ledger::{Cause, Ledger};
use crate::broker::placement::ACCEPT;
use crate::metrics::Metrics;
use crate::name::RoomName;

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Adds the turn's counts to the shared metrics and answers audits.
    pub(super) fn report(&mut self) {
        let TurnTally {
            bytes_read,
            bytes_written,
            writes,
            accepted,
        } = std::mem::take(&mut self.context.tally);
        self.context.consumers.end_turn();
        let metrics = &self.context.metrics;
        metrics.bytes_read.inc_by(bytes_read);
        metrics.bytes_written.inc_by(bytes_written);
        metrics.writes.inc_by(writes);
        let ledger = self.context.ledger;
        let work = ledger.expected - self.counted.expected + accepted * ACCEPT;
        let context = &self.context;
        let placement = context.broker.placement();
        placement.worked(context.worker, context.now, work);
        if ledger != self.counted {
            publish_ledger(metrics, &self.counted, &ledger);
            self.counted = ledger;
        }
        for (room, reply) in std::mem::take(&mut self.audits) {
            let connections = self.clients.len();
            let ledger = match room {
                None => ledger,
                Some(name) => self.room_ledger(&name),
            };
            reply(Report {
                ledger,
                connections,
            });
        }
    }

    pub(super) fn room_ledger(&mut self, name: &RoomName) -> Ledger {
        let slot = self
            .context
            .broker
            .find(name)
            .and_then(|room| room.slot_on(self.context.worker));
        let local = slot.and_then(|slot| self.rooms.get_mut(key_of(slot)));
        local.map(|local| local.ledger.read()).unwrap_or_default()
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

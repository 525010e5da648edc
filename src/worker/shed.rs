//! What a worker gives up when memory is short.

use super::client::Client;
use super::port::Port;
use super::turn::Worker;
use crate::broker::Consumers;
use crate::shedding::SheddingStep;

/// Of the readers that something waits for, one in so many is closed at a time: the memory of those is told to be free
/// before the next are looked for.
const CLOSED_OF: usize = 8;

impl<P: Port, C: Consumers> Worker<P, C> {
    /// Gives up what these steps say. While the queues hold less than `least` bytes it is not the readers who use the memory:
    /// nothing is taken from them then, beyond what has been.
    pub(super) fn shed(&mut self, steps: &[SheddingStep], least: u64) {
        let takes = steps.contains(&SheddingStep::Queues) && self.queued_bytes() >= least;
        let is_short =
            steps.contains(&SheddingStep::Queues) && (takes || self.deliverer.is_short());
        if self.deliverer.set_short(is_short) && is_short {
            self.cut_queues();
        }
        if takes && steps.contains(&SheddingStep::Readers) {
            self.close_slowest();
        }
    }

    /// Bytes that wait for readers. A frame that waits for many is counted for each.
    fn queued_bytes(&mut self) -> u64 {
        let clients = &mut self.connections.clients;
        (0..clients.places())
            .filter_map(|index| Some(clients.at_mut(index)?.connection.outbound.queued_bytes()))
            .sum()
    }

    /// Cuts every queue down to the bounds of now.
    fn cut_queues(&mut self) {
        let (members, readers) = (&mut self.members, &self.deliverer.readers);
        let mut dropped = 0;
        self.connections.each(|connections, key| {
            dropped += connections.cut_queue(key, readers, members);
        });
        self.context.metrics.memory_shed.inc_by(dropped);
    }

    /// Closes those of the readers whose sockets have taken nothing for the longest.
    fn close_slowest(&mut self) {
        let clients = &mut self.connections.clients;
        let waits = |client: &Client<_>| {
            let outbound = &client.connection.outbound;
            (client.connection.is_open() && outbound.queued() > 0).then(|| outbound.moved())
        };
        let mut waiting: Vec<_> = (0..clients.places())
            .filter_map(|index| {
                let moved = waits(clients.at_mut(index)?)?;
                Some((moved, clients.key_at(index)?))
            })
            .collect();
        waiting.sort_unstable();
        let (now, members) = (self.context.now, &mut self.members);
        let mut dropped = 0;
        for (_moved, key) in waiting.iter().take(waiting.len().div_ceil(CLOSED_OF)) {
            dropped += self.connections.close_short(*key, now, members);
        }
        self.context.metrics.memory_shed.inc_by(dropped);
    }
}

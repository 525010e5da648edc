//! What bounds the queue of a subscriber, by its route.

use crate::broker::queue::Bounds;
use crate::clock::Millis;
use crate::config::Config;
use crate::worker::per_route::PerRoute;

/// A queue holds this part of its bounds while memory is short.
const SHORT_SHARE: u32 = 4;

/// How long, and how much of it, a subscriber's queue keeps what its socket does not take.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    bounds: Bounds,
    /// The bounds while memory is short.
    short: Bounds,
    /// Milliseconds by which a delivery expires later than the node's settings have it.
    later: i64,
}

impl Reader {
    /// A reader on a route with these settings, on a node with those.
    fn new(route: &Config, node: &Config) -> Self {
        let millis = |config: &Config| i64::try_from(config.queue.expiry.as_millis());
        let later = millis(route).unwrap_or(i64::MAX) - millis(node).unwrap_or(i64::MAX);
        let bounds = Bounds::from(&route.queue);
        let longest = route.event_bytes(route.limits.message_bytes);
        Self {
            bounds,
            short: Bounds {
                capacity: (bounds.capacity / SHORT_SHARE).max(1),
                // What does not fit into an empty queue reaches nobody who is behind.
                bytes_max: (bounds.bytes_max / SHORT_SHARE as usize).max(longest),
                ..bounds
            },
            later,
        }
    }

    /// Until when a delivery may be written that the node's settings give until then.
    fn deadline(&self, of_node: Millis) -> Millis {
        Millis(of_node.0.saturating_add_signed(self.later))
    }
}

impl From<Bounds> for PerRoute<Reader> {
    /// The same bounds on all routes.
    fn from(bounds: Bounds) -> Self {
        let reader = Reader {
            bounds,
            short: bounds,
            later: 0,
        };
        Self::new(reader, Vec::new())
    }
}

impl PerRoute<Reader> {
    /// The bounds of a subscriber's queue, and until when it may keep a delivery that the node's settings give until
    /// `deadline`.
    #[inline]
    pub(super) fn at(&self, settings: u8, deadline: Millis) -> (&Bounds, Millis) {
        match settings {
            0 => (&self.of(0).bounds, deadline),
            _ => self.at_own(settings, deadline),
        }
    }

    /// The same for a route with settings of its own: away from the many that have none.
    #[cold]
    fn at_own(&self, settings: u8, deadline: Millis) -> (&Bounds, Millis) {
        let reader = self.of(settings);
        (&reader.bounds, reader.deadline(deadline))
    }

    /// The bounds of subscribers' queues by a node's settings, and by those of routes that have their own.
    pub(in crate::worker) fn readers(node: &Config, routes: &[Config]) -> Self {
        let reader = |route: &Config| Reader::new(route, node);
        Self::new(reader(node), routes.iter().map(reader).collect())
    }

    /// The same while memory is short.
    pub(in crate::worker) fn short(&self) -> Self {
        self.map(|reader| Reader {
            bounds: reader.short,
            ..*reader
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Publication;
    use crate::worker::outbound::{FrameBatch, Outbound, Sent};
    use bytes::Bytes;
    use std::io::{self, ErrorKind, IoSlice, Write};
    use std::time::Duration;

    /// A socket that takes nothing, or everything.
    struct Socket {
        takes: bool,
    }

    impl Write for Socket {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.takes
                .then_some(bytes.len())
                .ok_or(ErrorKind::WouldBlock.into())
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.write(&vec![0; slices.iter().map(|slice| slice.len()).sum()])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What becomes of three deliveries that wait for two seconds.
    fn wait(readers: &PerRoute<Reader>, settings: u8) -> Sent {
        let publication = Publication {
            frame: Bytes::from_static(b"frame"),
            deadline: Millis(60_000),
            event: None,
        };
        let delivery = publication.delivery();
        let (mut outbound, mut sent) = (Outbound::with_settings(settings), Sent::default());
        let mut socket = Socket { takes: false };
        for _ in 0..3 {
            let batch = FrameBatch {
                frames: std::slice::from_ref(&delivery),
                bytes: &delivery.frame,
            };
            let offered = outbound.offer(Millis(0), readers, batch, 0, &mut socket, &mut sent);
            offered.expect("nothing fails");
        }
        socket.takes = true;
        let flushed = outbound.flush(Millis(2_000), false, &mut socket, &mut sent);
        flushed.expect("nothing fails");
        sent
    }

    #[test]
    fn a_reader_has_the_bounds_of_its_route() {
        let node = Config::default();
        let (mut small, mut short) = (node.clone(), node.clone());
        small.queue.capacity = 2;
        short.queue.expiry = Duration::from_secs(1);
        let readers = PerRoute::readers(&node, &[small, short]);
        let of = |settings| {
            let sent = wait(&readers, settings);
            (sent.delivered, sent.capacity, sent.expired)
        };
        assert_eq!(of(0), (3, 0, 0));
        assert_eq!(of(1), (2, 1, 0));
        assert_eq!(of(2), (0, 0, 3));
        assert_eq!(of(3), (3, 0, 0), "no route has this number");
    }

    #[test]
    fn a_route_may_keep_deliveries_longer_than_the_node() {
        let node = Config::default();
        let mut long = node.clone();
        long.queue.expiry = node.queue.expiry + Duration::from_secs(5);
        let readers = PerRoute::readers(&node, &[long]);
        assert_eq!(readers.at(0, Millis(9)).1, Millis(9));
        assert_eq!(readers.at(1, Millis(9)).1, Millis(5_009));
    }
}

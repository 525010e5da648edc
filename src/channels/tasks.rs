//! What runs for a channel layer, and how the broker reaches it.

use super::layer::Layer;
use super::link::HostLink;
use super::outbound::UserOutbound;
use super::uplink::DjangoUplink;
use crate::broker::Broker;
use crate::broker::uplink::Uplink;
use crate::redis::{NodeEnd, Running};
use std::sync::Arc;

impl Layer {
    /// The broker's way to Django.
    #[must_use]
    pub fn uplink(self: &Arc<Self>) -> Box<dyn Uplink> {
        Box::new(DjangoUplink(Arc::clone(self)))
    }

    /// Everything that is to run, until the node's end.
    pub(crate) fn tasks(self: &Arc<Self>, broker: &Arc<Broker>, ending: &NodeEnd) -> Vec<Running> {
        let mut tasks: Vec<Running> = Vec::new();
        for host in &self.hosts {
            let (host, layer, broker) = (HostLink::new(host), Arc::clone(self), Arc::clone(broker));
            tasks.push(Box::pin(host.supervise(layer, broker, ending.clone())));
        }
        for queue in &self.queues {
            let (outbound, layer, broker) = (
                UserOutbound::new(queue),
                Arc::clone(self),
                Arc::clone(broker),
            );
            tasks.push(Box::pin(outbound.supervise(layer, broker, ending.clone())));
        }
        tasks
    }
}

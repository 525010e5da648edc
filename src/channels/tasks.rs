//! What runs for a channel layer, and how the broker reaches it.

use super::layer::Layer;
use super::uplink::DjangoUplink;
use crate::broker::Broker;
use crate::broker::uplink::Uplink;
use crate::redis::supervise::supervise;
use crate::redis::{NodeEnd, Running};
use std::sync::Arc;
use std::time::Duration;

impl Layer {
    /// The broker's way to Django.
    #[must_use]
    pub fn uplink(self: &Arc<Self>) -> Box<dyn Uplink> {
        Box::new(DjangoUplink(Arc::clone(self)))
    }

    /// Everything that is to run, until the node's end.
    pub(crate) fn tasks(self: &Arc<Self>, broker: &Arc<Broker>, ending: &NodeEnd) -> Vec<Running> {
        let ways = || (Arc::clone(self), Arc::clone(broker), ending.clone());
        let mut tasks: Vec<Running> = Vec::new();
        for host in &self.hosts {
            let (host, (layer, broker, ending)) = (Arc::clone(host), ways());
            tasks.push(Box::pin(async move {
                let begin = || {
                    Arc::clone(&host).run(Arc::clone(&layer), Arc::clone(&broker), ending.clone())
                };
                let on_panic = || host.panicked(&broker);
                supervise(&layer.metrics, layer.pause_max, begin, on_panic).await;
            }));
        }
        for queue in &self.queues {
            let (queue, (layer, broker, ending)) = (Arc::clone(queue), ways());
            tasks.push(Box::pin(async move {
                let begin = || {
                    Arc::clone(&queue).run(Arc::clone(&layer), Arc::clone(&broker), ending.clone())
                };
                let on_panic = || {
                    tracing::error!(
                        to = queue.label(),
                        "the courier's code panicked; it begins anew"
                    )
                };
                supervise(&layer.metrics, Duration::ZERO, begin, on_panic).await;
                layer.done.send_modify(|done| *done += 1);
            }));
        }
        tasks
    }
}

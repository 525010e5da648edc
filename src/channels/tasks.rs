//! What runs for a channel layer, and how the broker reaches it.

use super::layer::Layer;
use super::link::HostLink;
use super::outbound::UserOutbound;
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
        let mut tasks: Vec<Running> = Vec::new();
        for host in &self.hosts {
            let (link, panicked) = (HostLink::new(host), HostLink::new(host));
            let run = move |layer, broker, ending| link.clone().run(layer, broker, ending);
            let on_panic = move |broker: &Broker| panicked.panicked(broker);
            let ways = (Arc::clone(self), Arc::clone(broker), ending.clone());
            tasks.push(Box::pin(supervised(ways, self.pause_max, run, on_panic)));
        }
        for queue in &self.queues {
            let (outbound, panicked) = (UserOutbound::new(queue), UserOutbound::new(queue));
            let run = move |layer, broker, ending| outbound.clone().run(layer, broker, ending);
            let on_panic = move |_: &Broker| panicked.panicked();
            let ways = (Arc::clone(self), Arc::clone(broker), ending.clone());
            let layer = Arc::clone(self);
            tasks.push(Box::pin(async move {
                supervised(ways, Duration::ZERO, run, on_panic).await;
                layer.done.send_modify(|done| *done += 1);
            }));
        }
        tasks
    }
}

/// Runs `run` until the node's end, anew `pause` after each panic in it.
async fn supervised<R: Future<Output = ()> + Send + 'static>(
    (layer, broker, ending): (Arc<Layer>, Arc<Broker>, NodeEnd),
    pause: Duration,
    run: impl Fn(Arc<Layer>, Arc<Broker>, NodeEnd) -> R,
    on_panic: impl Fn(&Broker),
) {
    let begin = || run(Arc::clone(&layer), Arc::clone(&broker), ending.clone());
    supervise(&layer.metrics, pause, begin, || on_panic(&broker)).await;
}

//! What the listeners answer from: the operator's, and the HTTP API.

use super::NodeParts;
use super::reload::Reloader;
use crate::admin::{self, Sources};
use crate::archive::JournalHistory;
use crate::server::EntryRules;
use crate::server::api::ApiSources;
use std::sync::Arc;
use tokio::sync::watch::Receiver;

impl NodeParts {
    /// What the HTTP API works on.
    pub(super) fn api_sources(&self) -> ApiSources {
        ApiSources {
            config: Arc::clone(&self.config),
            metrics: Arc::clone(&self.metrics),
            clock: self.clock,
            broker: Arc::clone(&self.broker),
            workers: Arc::clone(&self.workers),
            attendance: Arc::clone(&self.attendance),
            bridge: self.bridge.clone(),
            archive: self.archive.clone(),
        }
    }

    /// What the operator is answered from.
    pub(super) fn sources(
        &self,
        reloader: Option<&Arc<Reloader>>,
        rules: Receiver<Arc<EntryRules>>,
    ) -> Sources {
        let reload = reloader.cloned();
        let reload = reload.map(|reloader| Arc::new(move || reloader.reload()) as admin::Reload);
        Sources {
            reload,
            credentials: Box::new(move || rules.borrow().learnt().fault()),
            config: Arc::clone(&self.config),
            clock: self.clock,
            metrics: Arc::clone(&self.metrics),
            broker: Arc::clone(&self.broker),
            workers: Arc::clone(&self.workers),
            shedding: Arc::clone(&self.shedding),
            assistant: self.assistant.clone(),
            vetting: self.vetting.clone(),
            bridge: self.bridge.clone(),
            channels: self.channels.clone(),
            archive: self.archive.clone(),
            history: JournalHistory::new(&self.config, self.clock),
            draining: self.draining.subscribe(),
        }
    }
}

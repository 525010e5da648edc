//! Prompts to backends: bounded, one at a time per room in the order asked, timed, never lost.

use super::desk::Desk;
use super::prompts::{Counts, PromptLimits};
use super::site_context::SiteContext;
use super::{Assistant, Error, Faq, OpenAi, Prompt, Retrieve, Webhook};
use crate::config::{self, AssistantKind, Config};
use crate::metrics::{Counter, Metrics};
use crate::name::RoomName;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// What became of a prompt at the door.
#[derive(Debug)]
#[must_use = "a busy prompt is answered with an apology or it is lost silently"]
pub enum Asked {
    /// The prompt will end in exactly one reply or apology, or in silence that the assistant asked for.
    Accepted,
    /// A limit is reached or the node is going down; the caller apologises.
    Busy(Prompt),
    /// `assistant.kind = "none"`: nobody answers, and nobody apologises.
    Off,
}

/// The desk that prompts are brought to. Cheap to clone; all clones are one desk.
#[derive(Clone)]
pub struct Dispatcher(Option<Arc<Desk>>);

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Dispatcher").field(&self.name()).finish()
    }
}

impl Dispatcher {
    /// Loads what `config` names and is ready to be asked; answers run on `handle`. What is known about a question comes
    /// from `retrieve`.
    ///
    /// # Errors
    ///
    /// If a file that is named cannot be read or breaks a rule.
    pub fn start(
        handle: &Handle,
        config: &Config,
        metrics: &Arc<Metrics>,
        retrieve: Option<Arc<dyn Retrieve>>,
    ) -> Result<Self, Error> {
        let settings = &config.assistant;
        let (mut site, panics) = (None, &metrics.panics);
        let assistant: Arc<dyn Assistant> = match settings.kind {
            AssistantKind::None => return Ok(Self(None)),
            AssistantKind::Faq => Arc::new(Faq::load(settings.knowledge.as_deref())?),
            AssistantKind::OpenAi => {
                site = SiteContext::new(config, metrics)?;
                let assistant = OpenAi::new(settings, metrics, retrieve)?;
                let model = settings.openai.model.as_deref();
                let (base_url, model) = (&settings.openai.base_url, model.unwrap_or("-"));
                tracing::info!(kind = "openai", base_url, model, "questions go to a model");
                Arc::new(assistant)
            }
            AssistantKind::Webhook => Arc::new(Webhook::new(settings, metrics)?),
        };
        Ok(Self::asking(handle, settings, panics, assistant, site))
    }

    /// A dispatcher for this backend; what panics in it is counted in `panics`.
    #[must_use]
    pub fn with(
        handle: &Handle,
        config: &config::AssistantSettings,
        panics: &Counter,
        assistant: Arc<dyn Assistant>,
    ) -> Self {
        Self::asking(handle, config, panics, assistant, None)
    }

    fn asking(
        handle: &Handle,
        config: &config::AssistantSettings,
        panics: &Counter,
        assistant: Arc<dyn Assistant>,
        site: Option<SiteContext>,
    ) -> Self {
        let concurrency = config.concurrency.max(1);
        let (openai, webhook) = (&config.openai, &config.webhook);
        // Of one business: how many are answered at once, and how many wait.
        let (per_business, share) = match config.kind {
            AssistantKind::OpenAi => (openai.concurrency_per_business, openai.prompts_per_business),
            AssistantKind::Webhook => (
                webhook.concurrency_per_business,
                webhook.prompts_per_business,
            ),
            AssistantKind::None | AssistantKind::Faq => (concurrency, config.prompts),
        };
        let limits = PromptLimits {
            prompts: config.prompts,
            per_room: config.prompts_per_room,
            concurrency,
            per_business: per_business.max(1),
            waiting_per_business: Some(share).filter(|share| *share > 0),
            debounce: config.debounce,
        };
        let desk = Desk::new(handle, limits, config.timeout, panics, assistant, site);
        Self(Some(Arc::new(desk)))
    }

    /// Does anybody answer?
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Who answers, as in `assistant.kind` or by its own word; `none` if nobody does.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.as_ref().map_or("none", |desk| desk.assistant.name())
    }

    /// Hands in a prompt. Never waits; for any thread.
    pub fn ask(&self, prompt: Prompt) -> Asked {
        let Some(desk) = &self.0 else {
            return Asked::Off;
        };
        desk.ask(prompt).map_or(Asked::Accepted, Asked::Busy)
    }

    /// Is a prompt of this room waiting or being answered?
    #[must_use]
    pub fn is_answering(&self, room: &RoomName) -> bool {
        self.0.as_ref().is_some_and(|desk| desk.has(room))
    }

    /// Why questions are answered with apologies for now, if they are.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        self.0.as_ref()?.assistant.degraded()
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0
            .as_ref()
            .map_or_else(Counts::default, |desk| desk.counts())
    }

    /// From here on prompts are turned away; those waiting are apologised for at once, those being
    /// answered have `grace` to finish, then they are apologised for too.
    ///
    /// # Cancel safety
    ///
    /// Calling it again goes on where it was; what was being answered goes on until then.
    pub async fn shutdown(&self, grace: Duration) {
        if let Some(desk) = &self.0 {
            desk.shutdown(grace).await;
        }
    }
}

//! All sections together.

use super::admin::AdminSettings;
use super::api::ApiSettings;
use super::archive::ArchiveSettings;
use super::assistant::AssistantSettings;
use super::auth::{AuthSettings, JwtSettings, LinkSettings};
use super::bridge::BridgeSettings;
use super::changes::Changes;
use super::channels::ChannelsSettings;
use super::chat::{ChatSettings, Dialect};
use super::cors::CorsSettings;
use super::django_session::DjangoSessionSettings;
use super::forward::ForwardSettings;
use super::history::HistorySettings;
use super::http::HttpSettings;
use super::key::{Applies, SectionKeys};
use super::limits::{BrokerSettings, ConsumerSettings, LimitSettings, QueueSettings};
use super::log::LogSettings;
use super::openai::OpenAiSettings;
use super::origin::OriginSettings;
use super::proxy::ProxySettings;
use super::quota::{AddressQuota, BusinessQuota, NodeQuota, RoomQuota, UserQuota};
use super::retrieval::{EmbeddingSettings, RetrievalSettings};
use super::route::{ROUTES, Route};
use super::server::ServerSettings;
use super::template::{CHAT_PATH, Handler};
use super::tls::TlsSettings;
use super::vet::VetSettings;
use super::webhook::WebhookSettings;
use serde::{Deserialize, Serialize};

/// A frame's header, the other fields of its JSON and the spare of a cut-off tail.
const EVENT_OVERHEAD_BYTES: usize = 512;

/// The parts of a configuration, in the order of the documents.
macro_rules! sections {
    ($($name:ident: $section:ident $([$($inner:ident),+])?,)+) => {
        /// All settings of one node.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {
            /// Which path is served by what.
            pub routes: Vec<Route>,
            $(
                #[doc = concat!("`[", stringify!($name), "]`.")]
                pub $name: $section,
            )+
        }

        impl Config {
            /// These settings with the values of `next` that may change while a node runs.
            pub(super) fn with_live(&self, next: &Self) -> (Self, Changes) {
                let (mut merged, mut changes) = (self.clone(), Changes::default());
                if self.routes != next.routes {
                    changes.note("routes", Applies::Restart);
                }
                $(merged.$name.take_live(&next.$name, &mut changes);)+
                (merged, changes)
            }
        }

        /// Every section with its keys, that of the top level first.
        pub(crate) const SECTIONS: &[SectionKeys] = &[ROUTES, $($section::SECTION, $($($inner::SECTION,)+)?)+];
    };
}

sections! {
    server: ServerSettings,
    tls: TlsSettings,
    proxy: ProxySettings,
    http: HttpSettings [CorsSettings],
    origin: OriginSettings,
    auth: AuthSettings [JwtSettings, LinkSettings, DjangoSessionSettings, ForwardSettings],
    chat: ChatSettings,
    vet: VetSettings,
    queue: QueueSettings,
    limits: LimitSettings [UserQuota, BusinessQuota, RoomQuota, AddressQuota, NodeQuota],
    broker: BrokerSettings,
    history: HistorySettings,
    archive: ArchiveSettings,
    bridge: BridgeSettings,
    channels: ChannelsSettings,
    consumers: ConsumerSettings,
    assistant: AssistantSettings [OpenAiSettings, WebhookSettings],
    retrieval: RetrievalSettings [EmbeddingSettings],
    api: ApiSettings,
    admin: AdminSettings,
    log: LogSettings,
}

impl Config {
    /// The routes that are served: those configured, or the guide's chat route.
    #[must_use]
    pub fn routes_or_default(&self) -> Vec<Route> {
        if self.routes.is_empty() {
            vec![Route::new(CHAT_PATH, Handler::Chat)]
        } else {
            self.routes.clone()
        }
    }

    /// Most bytes of the event that one message of so many bytes becomes.
    pub(crate) fn event_bytes(&self, message_bytes: usize) -> usize {
        // Python's ASCII escapes write a character of two bytes as six, and one of four as twelve.
        let growth = match self.chat.dialect {
            Dialect::Guide => 1,
            Dialect::Django => 3,
        };
        let bytes = message_bytes.saturating_mul(growth);
        bytes.saturating_add(EVENT_OVERHEAD_BYTES)
    }
}

//! Typed settings: every key, its unit, its default and what it limits.
//!
//! Who reads what: `load` merges defaults, file, environment and flags; `validate` checks what types
//! cannot say; everything above this floor receives a finished [`Config`]. Nothing else in the crate
//! reads the environment.

mod admin;
mod api;
mod archive;
mod assistant;
mod auth;
pub mod bridge;
mod business;
mod changes;
pub mod channels;
mod chat;
mod cors;
mod decimal;
mod django_session;
pub mod document;
mod environment;
mod example;
mod file;
pub mod flags;
mod forward;
pub mod history;
mod http;
mod http_url;
pub mod key;
pub mod keys;
mod layers;
mod limits;
pub mod load;
mod log;
mod memory;
mod mistake;
mod openai;
pub mod origin;
mod own_settings;
mod path;
pub(crate) mod pem;
pub mod problem;
pub mod proxy;
mod quota;
mod recheck;
mod redirect;
pub mod redis;
pub mod reload;
mod role;
mod route;
mod secret;
mod secrets;
mod sections;
mod server;
mod setting;
mod spelling;
pub(crate) mod template;
mod tls;
pub mod units;
pub mod validate;
mod value;
mod webhook;

#[cfg(test)]
mod tests;

pub use admin::AdminSettings;
pub(crate) use admin::is_loopback;
pub use api::ApiSettings;
pub use archive::{ArchiveFull, ArchiveMode, ArchiveSettings, ArchiveSync};
pub use assistant::{AssistantKind, AssistantSettings};
pub use auth::{AuthMode, AuthSettings, DefaultRooms, HmacAlgorithm, JwtSettings, LinkSettings};
pub use bridge::{BridgeMode, BridgeSettings};
pub use business::BusinessAssistant;
pub use changes::Changes;
pub use channels::ChannelsSettings;
pub use chat::{ChatSettings, Deliver, Dialect, Exists};
pub use cors::CorsSettings;
pub use decimal::Decimal;
pub use django_session::{DjangoSessionSettings, SessionEngine};
pub use forward::{ForwardSettings, OnError};
pub use history::{HistoryMode, HistorySettings};
pub use http::{HttpSettings, SiteAddress, SiteAddressFault};
pub use limits::{BrokerSettings, ConsumerSettings, LimitSettings, Overflow, QueueSettings};
pub use log::{LogFormat, LogSettings};
pub use memory::MemoryLimit;
pub use openai::{OpenAiSettings, PLACEHOLDERS};
pub use origin::OriginSettings;
pub use proxy::ProxySettings;
pub use quota::QuotaLimits;
pub use role::RoleName;
pub use route::{OWN_SETTINGS_MAX, OwnKeys, Plain, Route};
pub use secret::Secret;
pub use sections::Config;
pub use server::{ServerSettings, WORKERS_MAX};
pub use template::{CHAT_PATH, Handler};
pub use tls::{TlsSettings, TlsSite};
pub use webhook::{WEBHOOK_SECRET_BYTES_MIN, WebhookSettings};

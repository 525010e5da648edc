//! What a value of a key looks like, for messages and documents.

use super::key::{Key, KeyKind};
use super::path;
use super::sections::Config;
use toml::Value;

/// The lines of an entry of an array of tables; none for any other key.
pub(super) fn entry(key: &Key) -> &'static [&'static str] {
    match key.path {
        "routes" => &[
            "path = \"/ws/chat/{business_id}/{session_id}/\"",
            "handler = \"chat\"",
        ],
        "tls.sites" => &[
            "names = [\"chat.example.com\"]",
            "certificate = \"/etc/supportal/chat.pem\"",
            "key = \"/etc/supportal/chat.key\"",
        ],
        "chat.exists" => &["business_id = 1", "sessions = [\"abc\"]"],
        "assistant.businesses" => &["business_id = 1", "model = \"llama3.2:1b\""],
        "channels.channel_capacity" => &["pattern = \"http.*\"", "capacity = 200"],
        _ => &[],
    }
}

/// A value as TOML has it: the default, or where that is nothing one that somebody would write.
pub(super) fn value(key: &Key) -> String {
    let entry = entry(key);
    if !entry.is_empty() {
        return format!("[{{ {} }}]", entry.join(", "));
    }
    if let Some(written) = instead_of_nothing(key.path) {
        return written.to_owned();
    }
    let defaults = toml::Table::try_from(Config::default()).unwrap_or_default();
    let is_empty = |value: &Value| {
        value.as_str().is_some_and(str::is_empty) || value.as_array().is_some_and(Vec::is_empty)
    };
    match path::at(&defaults, key.path).filter(|value| !is_empty(value)) {
        Some(default) => default.to_string(),
        None => of_kind(key.kind).to_owned(),
    }
}

/// The key with such a value, as a line of the file has it.
pub(super) fn assignment(key: &Key) -> String {
    format!("{} = {}", key.name(), value(key))
}

fn of_kind(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Address => "\"127.0.0.1:8001\"",
        KeyKind::Decimal => "0.7",
        KeyKind::Urls | KeyKind::Hosts => "[\"redis://localhost:6379\"]",
        KeyKind::List | KeyKind::Secrets | KeyKind::Choices(_) => "[\"…\"]",
        _ => "\"…\"",
    }
}

/// Of keys that are unset or empty by default.
fn instead_of_nothing(path: &str) -> Option<&'static str> {
    Some(match path {
        "server.listen_unix" => "\"/run/supportal/chat.sock\"",
        "tls.certificate" => "\"/etc/supportal/chat.pem\"",
        "tls.key" => "\"/etc/supportal/chat.key\"",
        "proxy.trusted" => "[\"10.0.0.0/8\"]",
        "http.https_host" => "\"chat.example.com\"",
        "http.redirect" => "\"0.0.0.0:80\"",
        "http.acme_folder" => "\"/var/www/.well-known/acme-challenge\"",
        "http.upstream" => "\"http://127.0.0.1:8001\"",
        "http.cors.allowed" => "[\"https://example.com\"]",
        "http.cors.expose" => "[\"ETag\"]",
        "origin.allowed" => "[\"example.com\"]",
        "archive.path" => "\"/var/lib/supportal/journal.db\"",
        "auth.jwt.keys" => "[\"/etc/supportal/tokens.pem\"]",
        "auth.jwt.jwks" => "\"https://example.com/.well-known/jwks.json\"",
        "auth.jwt.jwks_ca_file"
        | "auth.forward.ca_file"
        | "bridge.ca_file"
        | "assistant.openai.ca_file"
        | "assistant.webhook.ca_file"
        | "vet.ca_file" => "\"/etc/supportal/authorities.pem\"",
        "auth.jwt.issuer" => "[\"https://example.com\"]",
        "auth.jwt.audience" => "[\"supportal\"]",
        "auth.jwt.cookie" | "auth.jwt.query" => "\"token\"",
        "auth.django_session.key_prefix" => "\"site\"",
        "auth.forward.url" => "\"http://127.0.0.1:8001/supportal/who/\"",
        "auth.forward.host" => "\"example.com\"",
        "auth.forward.cookies" => "[\"sessionid\"]",
        "bridge.node" => "\"chat-1\"",
        "bridge.client_cert" => "\"/etc/supportal/redis.pem\"",
        "bridge.client_key" => "\"/etc/supportal/redis.key\"",
        "assistant.openai.model" => "\"llama3.2:1b\"",
        "assistant.openai.api_key_file" => "\"/run/secrets/model_key\"",
        "assistant.openai.prompt" => "\"You answer for the bakery Krume, in {language}.\"",
        "assistant.webhook.url" => "\"http://127.0.0.1:8001/supportal/answer/\"",
        "assistant.webhook.host" => "\"example.com\"",
        "vet.url" => "\"http://127.0.0.1:8001/supportal/vet/\"",
        "vet.host" => "\"example.com\"",
        "vet.secret_file" => "\"/run/secrets/vet\"",
        "assistant.webhook.secret_file" => "\"/run/secrets/webhook\"",
        "assistant.knowledge" => "\"config/faq.toml\"",
        "admin.hosts" => "[\"admin.example.com\"]",
        _ => return None,
    })
}

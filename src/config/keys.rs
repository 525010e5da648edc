//! The keys of all sections, by their names.

use super::key::Key;
use super::sections::SECTIONS;
use super::spelling::nearest_of;

/// Every key of [`Config`](super::Config), in the order of the documents.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The key with this path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    all().find(|key| key.path == path)
}

/// The section that `channels` was, inside `bridge`; its keys are still read there, with a warning.
pub(super) const OLD_CHANNELS: &str = "bridge.channels";

/// The path by which a key is known today: that of a key which has moved, or the same.
pub(super) fn today(path: &str) -> &str {
    let is_old = path
        .strip_prefix(OLD_CHANNELS)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let moved = path.split_once('.').map_or(path, |(_, rest)| rest);
    if is_old { moved } else { path }
}

/// Is this a section, by its name of today or its old one?
pub(super) fn is_section(path: &str) -> bool {
    let name = today(path);
    !name.is_empty() && SECTIONS.iter().any(|section| section.name == name)
}

/// The known key an unknown one was probably meant to be.
///
/// The same name in another section is taken first: a key under the wrong heading is the usual slip.
#[must_use]
pub fn nearest(path: &str) -> Option<&'static str> {
    let path = today(path);
    let name = path.rsplit('.').next().unwrap_or(path);
    let moved = || all().filter(|key| key.name() == name).map(|key| key.path);
    // Of several that have it, the one whose section is meant, if one is named.
    let has_section = path.contains('.');
    nearest_of(path, moved().filter(|_| has_section))
        .or_else(|| moved().next())
        .or_else(|| nearest_of(path, all().map(|key| key.path)))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Decimal, Secret};
    use super::*;
    use std::collections::BTreeSet;

    fn paths_of(config: &Config) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        collect("", &toml::Table::try_from(config).unwrap(), &mut paths);
        paths
    }

    fn collect(section: &str, table: &toml::Table, paths: &mut BTreeSet<String>) {
        for (name, value) in table {
            match value {
                toml::Value::Table(keys) => collect(&format!("{section}{name}."), keys, paths),
                _ => {
                    paths.insert(format!("{section}{name}"));
                }
            }
        }
    }

    #[test]
    fn the_table_lists_exactly_the_keys_of_the_settings() {
        let mut config = Config::default();
        // Unset values are not serialised.
        config.server.listen_unix = Some("a".into());
        config.http.https_host = Some("a".to_owned());
        config.http.redirect = Some(([127, 0, 0, 1], 80).into());
        config.http.acme_folder = Some("a".into());
        config.http.upstream = Some("http://a".to_owned());
        config.archive.path = Some("a".into());
        config.assistant.knowledge = Some("faq.toml".into());
        let openai = &mut config.assistant.openai;
        openai.ca_file = Some("ca.pem".into());
        openai.context_url = Some("http://site/".to_owned());
        openai.model = Some("a".to_owned());
        openai.prompt = Some("a".to_owned());
        openai.api_key = Some(Secret::new("x"));
        openai.api_key_file = Some("key".into());
        openai.temperature = Some(Decimal::thousandths(700));
        let webhook = &mut config.assistant.webhook;
        webhook.url = Some("http://site/".to_owned());
        webhook.ca_file = Some("ca.pem".into());
        webhook.secret = Some(Secret::new("x"));
        webhook.secret_file = Some("secret".into());
        config.vet.url = Some("http://site/".to_owned());
        config.vet.ca_file = Some("ca.pem".into());
        config.vet.secret = Some(Secret::new("x"));
        config.vet.secret_file = Some("secret".into());
        config.bridge.ca_file = Some("ca.pem".into());
        config.bridge.client_cert = Some("cert.pem".into());
        config.bridge.client_key = Some("key.pem".into());
        config.channels.send_to = Some("a".to_owned());
        config.channels.send_to_group = Some("a".to_owned());
        config.auth.jwt.jwks = Some("jwks.json".to_owned());
        config.auth.jwt.jwks_ca_file = Some("ca.pem".into());
        config.auth.jwt.cookie = Some("token".to_owned());
        config.auth.jwt.query = Some("token".to_owned());
        config.auth.django_session.secret_key = Some(Secret::new("x"));
        config.auth.forward.url = Some("http://site/".to_owned());
        config.auth.forward.ca_file = Some("ca.pem".into());
        config.api.token = Some(Secret::new("x"));
        config.api.listen = Some(config.server.listen);
        config.admin.token = Some(Secret::new("x"));
        config.tls.certificate = Some("chain.pem".into());
        config.tls.key = Some("key.pem".into());
        config.retrieval.path = Some("vector_db".into());
        config.retrieval.documents = Some("documents".into());
        let embeddings = &mut config.retrieval.embeddings;
        embeddings.base_url = Some("http://model/v1".to_owned());
        embeddings.api_key = Some(Secret::new("x"));
        embeddings.api_key_file = Some("key".into());
        embeddings.ca_file = Some("ca.pem".into());
        let listed: BTreeSet<String> = all().map(|key| key.path.to_owned()).collect();
        assert_eq!(listed, paths_of(&config));
        assert_eq!(listed.len(), all().count(), "a key is listed twice");
    }

    #[test]
    fn the_nearest_key_is_a_sensible_one() {
        assert_eq!(nearest("queue.capasity"), Some("queue.capacity"));
        assert_eq!(nearest("server.capacity"), Some("queue.capacity"));
        assert_eq!(nearest("zzz"), None);
    }
}

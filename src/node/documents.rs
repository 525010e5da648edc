//! What a model is given to read: the pieces of documents that `[retrieval]` finds.

use crate::assistant::{KnownPassage, Passages, Retrieve};
use crate::clock::Clock;
use crate::config::{AssistantKind, Config, RetrievalSettings};
use crate::metrics::Metrics;
use crate::retrieval::{Error, Excerpt, Retrieval};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Longer than `retrieval.timeout` can be, which ends a search.
const LONGEST_SEARCH: Duration = Duration::from_secs(24 * 3600);

/// The documents of all businesses.
struct BusinessDocuments {
    retrieval: Arc<Retrieval>,
    /// Most bytes that are told.
    bytes_max: usize,
}

impl Retrieve for BusinessDocuments {
    fn passages(&self, business_id: &str, question: &str) -> Passages {
        let (retrieval, bytes_max) = (Arc::clone(&self.retrieval), self.bytes_max);
        let (id, question) = (business_id.to_owned(), question.to_owned());
        Box::pin(async move {
            let deadline = Instant::now() + LONGEST_SEARCH;
            let excerpts = retrieval.top(&id, &question, deadline).await;
            told(&excerpts, bytes_max)
        })
    }
}

/// These pieces as the package puts them into its prompt, up to the first that nobody would be told.
fn told(excerpts: &[Excerpt], bytes_max: usize) -> Vec<KnownPassage> {
    let mut bytes: usize = 0;
    let fitting = excerpts.iter().take_while(|excerpt| {
        bytes = bytes.saturating_add(excerpt.text.len());
        bytes <= bytes_max
    });
    let told = fitting.map(|excerpt| KnownPassage {
        text: format!("from {}:\n{}", excerpt.title, excerpt.text),
        document_id: Some(excerpt.document_id.to_string()),
    });
    told.collect()
}

/// The settings of retrieval, where an endpoint that is not named is the model's, with its key.
fn settings(config: &Config) -> RetrievalSettings {
    let mut settings = config.retrieval.clone();
    let (embeddings, openai) = (&mut settings.embeddings, &config.assistant.openai);
    if embeddings.base_url.is_none() {
        embeddings.base_url = Some(openai.base_url.clone());
        if embeddings.ca_file.is_none() {
            embeddings.ca_file.clone_from(&openai.ca_file);
        }
        if embeddings.api_key.is_none() && embeddings.api_key_file.is_none() {
            embeddings.api_key.clone_from(&openai.api_key);
            embeddings.api_key_file.clone_from(&openai.api_key_file);
        }
    }
    settings
}

/// The documents that the settings name, which are looked after for as long as this is held; `None` if there are none, or
/// nobody to read them. Must be called on the runtime.
pub(super) fn documents(
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<dyn Retrieve>>, Error> {
    if config.assistant.kind != AssistantKind::OpenAi {
        return Ok(None);
    }
    let Some(retrieval) = Retrieval::new(&settings(config), metrics, Clock::start())? else {
        return Ok(None);
    };
    tokio::spawn(Retrieval::watch(Arc::downgrade(&retrieval)));
    Ok(Some(Arc::new(BusinessDocuments {
        retrieval,
        bytes_max: config.assistant.openai.context_bytes,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::retrieval::DocumentId;

    #[test]
    fn the_key_of_the_model_goes_to_its_own_server_alone() {
        let mut config = Config::default();
        config.assistant.openai.base_url = "https://model/v1".to_owned();
        config.assistant.openai.api_key = Some(Secret::new("of the model"));
        let asked = |config: &Config| {
            let embeddings = settings(config).embeddings;
            let key = embeddings.api_key.map(|key| key.expose().to_owned());
            (embeddings.base_url.unwrap_or_default(), key)
        };
        let own = |url: &str, key: Option<&str>| (url.to_owned(), key.map(str::to_owned));
        assert_eq!(
            asked(&config),
            own("https://model/v1", Some("of the model"))
        );
        config.retrieval.embeddings.api_key = Some(Secret::new("own"));
        assert_eq!(asked(&config), own("https://model/v1", Some("own")));
        config.retrieval.embeddings.base_url = Some("https://other/v1".to_owned());
        assert_eq!(asked(&config), own("https://other/v1", Some("own")));
        config.retrieval.embeddings.api_key = None;
        assert_eq!(asked(&config), own("https://other/v1", None));
    }

    #[test]
    fn pieces_are_told_as_the_package_does_and_no_more_of_them_than_fit() {
        let excerpt = |text: &str, document_id| Excerpt {
            text: text.into(),
            document_id,
            title: "Lamps".into(),
            chunk_index: 0,
            distance: None,
        };
        let excerpts = [
            excerpt("Blue.", DocumentId::Number(3)),
            excerpt("Red.", DocumentId::Name("red.md".into())),
        ];
        let of = |bytes_max| {
            let told = told(&excerpts, bytes_max).into_iter();
            let told = told.map(|told| (told.text, told.document_id.unwrap_or_default()));
            told.collect::<Vec<_>>()
        };
        let blue = ("from Lamps:\nBlue.".to_owned(), "3".to_owned());
        let red = ("from Lamps:\nRed.".to_owned(), "red.md".to_owned());
        assert_eq!(of(9), [blue.clone(), red]);
        assert_eq!(of(8), [blue]);
        assert_eq!(of(4), []);
    }
}

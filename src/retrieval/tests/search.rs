//! The whole way of a question.

use super::super::embeddings::tests::Endpoint;
use super::*;
use std::time::Duration;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn retrieval(site: &Site, settings: &RetrievalSettings) -> Arc<Retrieval> {
    let retrieval = Retrieval::new(settings, &site.metrics, Clock::start());
    retrieval.unwrap().expect("it is on")
}

/// By vectors, which this endpoint makes.
fn by_vectors(site: &Site, endpoint: &Endpoint) -> Arc<Retrieval> {
    let settings = RetrievalSettings {
        embeddings: EmbeddingSettings {
            base_url: Some(endpoint.url()),
            ..EmbeddingSettings::default()
        },
        ..site.settings(RetrievalKind::Faiss)
    };
    retrieval(site, &settings)
}

fn searches(site: &Site, outcome: &'static str) -> u64 {
    let family = &site.metrics.retrieval_searches;
    let series = family.get_or_create(&[("outcome", outcome)]);
    series.get()
}

#[tokio::test]
async fn the_nearest_chunks_are_found_with_their_documents() {
    let site = Site::new();
    site.business(1, &two());
    let endpoint = Endpoint::saying("{\"data\": [{\"embedding\": [3.5, 0], \"index\": 0}]}");
    let retrieval = by_vectors(&site, &endpoint);
    let found = retrieval.top("1", "How?", soon()).await;
    assert_eq!(found.len(), 2);
    assert_eq!(&*found[0].text, "chunk 1 über");
    assert_eq!(&*found[0].title, "Terms");
    assert_eq!(found[0].document_id, DocumentId::Number(0));
    assert_eq!(serde_json::to_string(&found[0].document_id).unwrap(), "0");
    assert_eq!(found[0].chunk_index, 1);
    assert_eq!(found[0].distance, Some(0.25));
    assert_eq!(searches(&site, "found"), 1);
}

#[tokio::test]
async fn a_business_without_documents_costs_no_embedding_and_a_path_is_no_business() {
    let site = Site::new();
    let endpoint = Endpoint::saying("{}");
    let retrieval = by_vectors(&site, &endpoint);
    for id in ["2", "../1", "", "01", "1/../1", "1\0"] {
        assert_eq!(retrieval.top(id, "How?", soon()).await, []);
    }
    assert_eq!(endpoint.requests(), 0);
    assert_eq!(searches(&site, "nothing"), 6);
}

#[tokio::test]
async fn an_embedding_of_another_length_finds_nothing_and_is_counted() {
    let site = Site::new();
    site.business(1, &two());
    let endpoint = Endpoint::saying("{\"data\": [{\"embedding\": [1, 2, 3]}]}");
    let retrieval = by_vectors(&site, &endpoint);
    assert_eq!(retrieval.top("1", "How?", soon()).await, []);
    assert_eq!(searches(&site, "dimension"), 1);
}

#[tokio::test]
async fn without_an_embedding_nothing_is_found_and_that_is_counted() {
    let site = Site::new();
    site.business(1, &two());
    let endpoint = Endpoint::saying("not JSON");
    let retrieval = by_vectors(&site, &endpoint);
    assert_eq!(retrieval.top("1", "How?", soon()).await, []);
    assert_eq!(searches(&site, "no_embedding"), 1);
}

#[tokio::test]
async fn an_endpoint_that_never_answers_holds_nobody_up_beyond_the_deadline() {
    let site = Site::new();
    site.business(1, &two());
    let endpoint = Endpoint::silent();
    let retrieval = by_vectors(&site, &endpoint);
    let deadline = Instant::now() + Duration::from_millis(200);
    assert_eq!(retrieval.top("1", "How?", deadline).await, []);
    assert_eq!(searches(&site, "timeout"), 1);
}

#[tokio::test]
async fn documents_that_change_are_found_by_the_watch_which_ends_with_the_retrieval() {
    let site = Site::new();
    site.write("documents/7/a.md", "A lamp.");
    let settings = RetrievalSettings {
        documents: Some(site.path("documents")),
        path: None,
        interval: Duration::from_millis(10),
        ..site.settings(RetrievalKind::Bm25)
    };
    let retrieval = retrieval(&site, &settings);
    let watch = tokio::spawn(Retrieval::watch(Arc::downgrade(&retrieval)));
    let found = retrieval.top("7", "lamp", soon()).await;
    assert_eq!(found.len(), 1);
    site.write("documents/7/b.md", "Another lamp.");
    while retrieval.top("7", "lamp", soon()).await.len() < 2 {
        tokio::task::yield_now().await;
    }
    drop(retrieval);
    watch.await.unwrap();
}

#[tokio::test]
async fn many_at_once_read_the_files_once() {
    let site = Site::new();
    site.write("documents/7/a.md", "A lamp.");
    let settings = RetrievalSettings {
        documents: Some(site.path("documents")),
        path: None,
        ..site.settings(RetrievalKind::Bm25)
    };
    let retrieval = retrieval(&site, &settings);
    let asks: Vec<_> = (0..50)
        .map(|_| {
            let retrieval = Arc::clone(&retrieval);
            tokio::spawn(async move { retrieval.top("7", "lamp", soon()).await.len() })
        })
        .collect();
    for ask in asks {
        assert_eq!(ask.await.unwrap(), 1);
    }
    assert_eq!(site.reads("taken"), 1);
}

#[test]
fn nothing_is_built_where_it_is_off_and_a_key_that_is_none_is_refused() {
    let site = Site::new();
    let new = |settings: &RetrievalSettings| {
        Retrieval::new(settings, &site.metrics, Clock::start())
            .map(|built| built.is_some())
            .map_err(|error| error.to_string())
    };
    assert_eq!(new(&site.settings(RetrievalKind::None)), Ok(false));
    let mut settings = site.settings(RetrievalKind::Faiss);
    settings.embeddings.base_url = Some("http://127.0.0.1:9/v1".to_owned());
    assert_eq!(new(&settings), Ok(true));
    let key = site.path("key");
    settings.embeddings.api_key_file = Some(key.clone());
    let absent = new(&settings).unwrap_err();
    assert!(absent.contains("cannot read"), "{absent}");
    for (text, is_key) in [
        ("", false),
        (" \n", false),
        ("a b", false),
        ("é", false),
        ("secret-1\n", true),
    ] {
        fs::write(&key, text).unwrap();
        let built = new(&settings);
        assert_eq!(built.is_ok(), is_key, "{text:?}: {built:?}");
        assert!(!format!("{built:?}").contains("secret-1"));
    }
}

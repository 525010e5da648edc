//! Files that change while a node runs, and what makes room for what.

use super::*;

/// Looks twice, as the node does from time to time, and reads what has changed.
fn look(collections: &Collections) -> usize {
    let mut read = 0;
    for _ in 0..2 {
        for id in collections.changed() {
            collections.read(&id);
            read += 1;
        }
    }
    read
}

fn changed(collections: &Collections) -> Vec<String> {
    let changed = collections.changed();
    changed.iter().map(ToString::to_string).collect()
}

fn three() -> Vec<Vec<f32>> {
    vec![vec![9.0, 9.0], vec![0.0, 1.0], vec![4.0, 0.0]]
}

#[test]
fn what_has_changed_is_read_once_it_stands_still() {
    let site = Site::new();
    site.business(1, &two());
    let collections = site.collections(&site.settings(RetrievalKind::Faiss));
    collections.read("1");
    assert_eq!(changed(&collections), Vec::<String>::new());
    site.business(1, &three());
    // Who writes may not be done.
    assert_eq!(changed(&collections), Vec::<String>::new());
    assert_eq!(nearest(&collections, "1", &[9.0, 9.0]).len(), 2);
    site.write("business_1_metadata.json", metadata_text(3) + " ");
    assert_eq!(changed(&collections), Vec::<String>::new());
    assert_eq!(changed(&collections), ["1"]);
    collections.read("1");
    assert_eq!(nearest(&collections, "1", &[9.0, 9.0])[0], "chunk 0 über");
    assert_eq!(look(&collections), 0);
}

#[test]
fn a_torn_file_keeps_the_old_one_until_it_is_whole() {
    let site = Site::new();
    site.business(1, &two());
    let collections = site.collections(&site.settings(RetrievalKind::Faiss));
    collections.read("1");
    let whole = index_bytes(&three());
    for length in [0, 44, whole.len() - 1] {
        site.write("business_1.index", &whole[..length]);
        assert_eq!(look(&collections), 1);
        assert_eq!(nearest(&collections, "1", &[4.0, 0.0])[0], "chunk 1 über");
        // Of one torn file there is one line.
        assert_eq!(look(&collections), 0);
    }
    assert_eq!(site.reads("torn"), 3);
    site.business(1, &three());
    assert_eq!(look(&collections), 1);
    assert_eq!(nearest(&collections, "1", &[4.0, 0.0])[0], "chunk 2 über");
}

#[test]
fn files_that_are_gone_are_forgotten_and_new_ones_are_found() {
    let site = Site::new();
    site.business(1, &two());
    let collections = site.collections(&site.settings(RetrievalKind::Faiss));
    collections.read("1");
    collections.read("2");
    for name in ["business_1.index", "business_1_metadata.json"] {
        fs::remove_file(site.path(name)).unwrap();
    }
    site.business(2, &two());
    assert_eq!(look(&collections), 2);
    assert_eq!(collections.has("1"), Some(false));
    assert_eq!(collections.has("2"), Some(true));
    assert_eq!(site.metrics.retrieval_businesses.get(), 1);
}

#[test]
fn what_the_system_could_not_read_is_tried_again_though_no_file_changes() {
    let site = Site::new();
    fs::create_dir(site.path("business_1.index")).unwrap();
    site.write("business_1_metadata.json", metadata_text(2));
    let collections = site.collections(&site.settings(RetrievalKind::Faiss));
    collections.read("1");
    assert_eq!(look(&collections), 1);
    assert_eq!(site.reads("unreadable"), 2);
}

/// Vectors of a mebibyte.
fn mebibyte() -> Vec<Vec<f32>> {
    vec![vec![0.5; 1024]; 256]
}

#[test]
fn what_was_used_least_recently_makes_room_and_bytes_are_bounded() {
    let site = Site::new();
    for id in 1..=12 {
        site.business(id, &mebibyte());
    }
    let mut settings = site.settings(RetrievalKind::Faiss);
    settings.bytes_max = 8 * 1024 * 1024;
    let collections = site.collections(&settings);
    for id in 1..=12 {
        collections.read(&id.to_string());
        // The first one is used all the time.
        assert_eq!(collections.has("1"), Some(true), "{id}");
        let bytes = site.metrics.retrieval_bytes.get();
        assert!(bytes <= 8 * 1024 * 1024, "{bytes}");
    }
    let kept: Vec<u64> = (1..=12)
        .filter(|id| collections.has(&id.to_string()).is_some())
        .collect();
    assert_eq!(kept.first(), Some(&1));
    assert!(kept.contains(&12) && !kept.contains(&2), "{kept:?}");
    assert!(kept.len() >= 5, "{kept:?}");
    let evicted = site.metrics.retrieval_evicted.get();
    assert_eq!(evicted, 12 - kept.len() as u64);
    let bytes = usize::try_from(site.metrics.retrieval_bytes.get()).unwrap();
    assert!(bytes > kept.len() * 1024 * 1024, "{bytes}");
}

#[test]
fn a_panic_in_reading_gives_its_bytes_back() {
    let site = Site::new();
    site.business(1, &two());
    let collections = site.collections(&site.settings(RetrievalKind::Faiss));
    let read = || {
        let _reserved = collections.reserve("2", 1_000_000);
        panic!("a fault of a reader");
    };
    assert_eq!(caught(read), None::<()>);
    collections.read("1");
    assert!(site.metrics.retrieval_bytes.get() < 1_000_000);
}

#[test]
fn businesses_that_are_made_up_drive_out_those_and_not_the_others() {
    let site = Site::new();
    site.business(1, &two());
    let mut settings = site.settings(RetrievalKind::Faiss);
    settings.businesses = 4;
    let collections = site.collections(&settings);
    collections.read("1");
    for id in 100..200 {
        collections.read(&id.to_string());
    }
    assert_eq!(collections.has("1"), Some(true));
    assert_eq!(collections.has("199"), Some(false));
    assert_eq!(collections.has("100"), None);
    assert_eq!(site.metrics.retrieval_evicted.get(), 97);
}

//! Folders of Markdown and text, and the words in them.

use super::super::documents::{chunks, is_document};
use super::super::files::DOCUMENTS_MAX;
use super::*;
use proptest::prelude::*;

const SHOP: &str = "\u{feff}Intro.\n\n# The shop\n\nWe sell lamps.\nAnd shades.\n\n## Returns\n\
    Send a lamp back within thirty days.\n\n## Opening hours\nNine to five.\n";

fn texts(path: &str, text: &str) -> Vec<String> {
    let chunks = chunks(Path::new(path), text);
    chunks.iter().map(|chunk| chunk.text.to_string()).collect()
}

#[test]
fn a_heading_begins_a_chunk_and_the_first_is_the_title() {
    assert_eq!(
        texts("shop.md", SHOP),
        [
            "Intro.",
            "# The shop\n\nWe sell lamps.\nAnd shades.",
            "## Returns\nSend a lamp back within thirty days.",
            "## Opening hours\nNine to five.",
        ]
    );
    let title = |path: &str, text: &str| chunks(Path::new(path), text)[0].title.to_string();
    assert_eq!(title("shop.md", SHOP), "The shop");
    assert_eq!(title("shop.txt", SHOP), "shop");
    assert_eq!(title("a/about us.md", "Text."), "about us");
    // In a text the character is one like any other.
    assert_eq!(texts("shop.txt", "a\n# b\n\nc"), ["a\n# b\n\nc"]);
}

#[test]
fn paragraphs_are_joined_up_to_a_chunk_and_cut_above_it() {
    let paragraph = "word ".repeat(80);
    let text = format!("{paragraph}\n\n").repeat(5);
    let lengths: Vec<usize> = texts("a.txt", &text).iter().map(String::len).collect();
    assert_eq!(lengths, [800, 800, 399]);
    let long = texts("a.txt", &"é".repeat(1200));
    assert_eq!(
        long.iter().map(String::len).collect::<Vec<_>>(),
        [1000, 1000, 400]
    );
}

proptest! {
    #[test]
    fn no_word_is_lost_or_doubled(text in "([a-z#é]{1,30}[ \n]{1,3}){0,400}") {
        for path in ["a.md", "a.txt"] {
            let all = texts(path, &text).join("\n");
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&all), words(&text));
        }
    }

    #[test]
    fn no_chunk_is_longer_than_one(text in any::<String>()) {
        for chunk in texts("a.md", &text.repeat(50)) {
            prop_assert!(!chunk.is_empty() && chunk.len() <= 2 * 1000, "{} bytes", chunk.len());
        }
    }
}

#[test]
fn documents_are_told_by_their_names() {
    for name in ["a.md", "A.MD", "b.markdown", "c.txt"] {
        assert!(is_document(Path::new(name)), "{name}");
    }
    for name in [".a.md", "a.md~", "a.pdf", "md", "a.md.swp", ".md"] {
        assert!(!is_document(Path::new(name)), "{name}");
    }
}

fn with_documents(site: &Site) -> RetrievalSettings {
    RetrievalSettings {
        path: None,
        documents: Some(site.path("documents")),
        ..site.settings(RetrievalKind::Bm25)
    }
}

fn best(collections: &Collections, question: &str) -> Vec<String> {
    match collections.find("7", Query::Text(question), 3) {
        Searched::Excerpts(excerpts) => excerpts.iter().map(|e| e.text.to_string()).collect(),
        Searched::Incomparable(wrong) => panic!("{wrong:?}"),
    }
}

#[test]
fn the_words_in_common_find_a_chunk_and_none_finds_none() {
    let site = Site::new();
    site.write("documents/7/shop.md", SHOP);
    site.write(
        "documents/7/jobs.txt",
        "We look for people who repair lamps.",
    );
    site.write("documents/8/other.md", "# Lamps of another business");
    let collections = site.collections(&with_documents(&site));
    collections.read("7");
    assert_eq!(
        best(
            &collections,
            "How do I return a lamp? The return, I mean: return!"
        )[0],
        "## Returns\nSend a lamp back within thirty days."
    );
    assert_eq!(
        best(&collections, "opening hours")[0],
        "## Opening hours\nNine to five."
    );
    assert_eq!(
        best(&collections, "repairing a LAMP")[0],
        "We look for people who repair lamps."
    );
    for nothing in ["zebra", "", "the of and", "?!…"] {
        assert_eq!(
            best(&collections, nothing),
            Vec::<String>::new(),
            "{nothing}"
        );
    }
    let Searched::Excerpts(excerpts) = collections.find("7", Query::Text("repair"), 1) else {
        panic!("words are always compared");
    };
    assert_eq!(excerpts[0].document_id, DocumentId::Name("jobs.txt".into()));
    assert_eq!(excerpts[0].distance, None);
}

#[test]
fn chunks_of_one_worth_stand_in_their_order() {
    let site = Site::new();
    for name in ["c", "a", "b"] {
        site.write(
            &format!("documents/7/{name}.txt"),
            format!("lamp {name}{name}"),
        );
    }
    let collections = site.collections(&with_documents(&site));
    collections.read("7");
    for _ in 0..20 {
        assert_eq!(
            best(&collections, "lamps"),
            ["lamp aa", "lamp bb", "lamp cc"]
        );
    }
}

#[test]
fn the_package_s_metadata_is_read_beside_a_folder() {
    let site = Site::new();
    site.write("business_7_metadata.json", metadata_text(2));
    site.write("documents/7/a.md", "A lamp.");
    let settings = RetrievalSettings {
        path: Some(site.folder.path().to_owned()),
        ..with_documents(&site)
    };
    let collections = site.collections(&settings);
    collections.read("7");
    assert_eq!(best(&collections, "über"), ["chunk 0 über", "chunk 1 über"]);
    assert_eq!(best(&collections, "lamp"), ["A lamp."]);
}

#[test]
fn a_document_that_is_no_text_is_named_and_leaves_what_was_there() {
    let site = Site::new();
    site.write("documents/7/a.md", "A lamp.");
    let collections = site.collections(&with_documents(&site));
    collections.read("7");
    site.write("documents/7/b.txt", [0xe9, b' ', 0xff]);
    collections.read("7");
    assert_eq!((site.reads("taken"), site.reads("not_text")), (1, 1));
    assert_eq!(best(&collections, "lamp"), ["A lamp."]);
}

#[test]
fn more_documents_than_there_may_be_are_refused_and_not_in_part() {
    let site = Site::new();
    for number in 0..=DOCUMENTS_MAX {
        site.write(&format!("documents/7/{number}.txt"), "lamp");
    }
    let collections = site.collections(&with_documents(&site));
    collections.read("7");
    assert_eq!(site.reads("too_many"), 1);
    fs::remove_file(site.path("documents/7/0.txt")).unwrap();
    collections.read("7");
    assert_eq!(site.reads("taken"), 1);
}

#[test]
fn a_text_of_too_many_words_is_refused_while_it_is_read() {
    // Each word once, and short: no text needs more memory for its bytes.
    let alphabet = || 'a'..='z';
    let pairs = alphabet().flat_map(|a| alphabet().map(move |b| (a, b)));
    let words = pairs.flat_map(|(a, b)| alphabet().map(move |c| format!("{a}{b}{c}7 ")));
    let text: String = words.collect();
    let chunks = chunks(Path::new("a.txt"), &text);
    let whole = ranking::Ranking::new(&chunks, usize::MAX).unwrap();
    let refused = ranking::Ranking::new(&chunks, whole.bytes() - 1);
    assert!(refused.is_err());
    assert!(whole.bytes() > 20 * text.len(), "{}", whole.bytes());
}

//! Files that are not as they should be: named, counted, and without effect.

use super::*;

/// A file's name, what is in it, the label that counts it, and what its text holds.
type Case = (&'static str, Vec<u8>, &'static str, &'static str);

/// The index of the two chunks with bytes in the place of those from `at` on.
fn index(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut index = index_bytes(&two());
    index.splice(at..at + bytes.len(), bytes.iter().copied());
    index
}

fn cut(length: usize) -> Vec<u8> {
    index_bytes(&two()).into_iter().take(length).collect()
}

fn indexes() -> Vec<Case> {
    const FILE: &str = "business_1.index";
    let more = [index_bytes(&two()), vec![0]].concat();
    let three = index_bytes(&[two(), two()[..1].to_vec()].concat());
    let html = b"<!DOCTYPE html><title>502</title><p>The server is away for a moment.".to_vec();
    let cases = [
        (Vec::new(), "torn", "0 bytes of 45"),
        (cut(1), "torn", "1 bytes of 45"),
        (cut(4), "torn", "4 bytes of 45"),
        (cut(44), "torn", "44 bytes of 45"),
        (cut(45), "torn", "45 bytes of 61"),
        (cut(60), "torn", "60 bytes of 61"),
        (more, "torn", "62 bytes of 61"),
        (html, "kind", "begins with <!DO"),
        (index(0, b"IxFI"), "kind", "begins with IxFI"),
        (index(0, b"IxFl"), "kind", "begins with IxFl"),
        (index(0, b"IHNf"), "kind", "begins with IHNf"),
        (index(0, b"ixf2"), "kind", "begins with ixf2"),
        (index(0, &[0xff; 4]), "kind", r"begins with \xff\xff"),
        (index(0, &[0; 45]), "kind", r"begins with \x00"),
        (index(4, &0_i32.to_le_bytes()), "dimension", "of 0 numbers"),
        (index(4, &(-2_i32).to_le_bytes()), "dimension", "of -2"),
        (index(4, &4097_i32.to_le_bytes()), "dimension", "of 4097"),
        (index(4, &i32::MAX.to_le_bytes()), "dimension", "2147483647"),
        (index(4, &1_i32.to_le_bytes()), "kind", "4 numbers of 2"),
        (index(4, &4096_i32.to_le_bytes()), "kind", "of 4096"),
        (index(8, &(-1_i64).to_le_bytes()), "kind", "of -1 vectors"),
        (index(8, &1_i64.to_le_bytes()), "kind", "of 1 vectors"),
        (
            index(8, &i64::MAX.to_le_bytes()),
            "kind",
            "9223372036854775807 vectors",
        ),
        (index(32, &[0]), "kind", "trained 0"),
        (index(32, &[7]), "kind", "trained 7"),
        (index(33, &0_i32.to_le_bytes()), "kind", "metric 0"),
        (index(33, &2_i32.to_le_bytes()), "kind", "metric 2"),
        (
            index(37, &u64::MAX.to_le_bytes()),
            "kind",
            "18446744073709551615 numbers",
        ),
        (index(37, &3_u64.to_le_bytes()), "kind", "3 numbers"),
        (
            index(45, &f32::NAN.to_le_bytes()),
            "not_finite",
            "a number that is none",
        ),
        (
            index(57, &f32::INFINITY.to_le_bytes()),
            "not_finite",
            "a number that is none",
        ),
        (
            index(49, &f32::NEG_INFINITY.to_le_bytes()),
            "not_finite",
            "a number that is none",
        ),
        (three, "mismatch", "describes 2 pieces, and the index has 3"),
        (
            index_bytes(&[]),
            "mismatch",
            "describes 2 pieces, and the index has 0",
        ),
    ];
    let cases = cases.into_iter();
    cases
        .map(|(bytes, label, says)| (FILE, bytes, label, says))
        .collect()
}

fn metadata() -> Vec<Case> {
    const FILE: &str = "business_1_metadata.json";
    let chunk = r#"{"document_id": 1, "chunk_index": 0, "content": "a", "document_title": "t"}"#;
    let two = |one: &str, other: &str| format!("{{{one}: {chunk}, {other}: {chunk}}}");
    let with = |from: &str, to: &str| two("\"0\"", "\"1\"").replacen(from, to, 1);
    let deep = format!("{{\"0\": {}", "[".repeat(100_000));
    let cases = [
        (String::new(), "metadata", "ends too early"),
        ("{".to_owned(), "metadata", "ends too early"),
        (with("}}", ""), "metadata", "ends too early"),
        ("<html>".to_owned(), "metadata", "is no JSON"),
        (two("\"0\"", "\"1\"") + "x", "metadata", "is no JSON"),
        ("[]".to_owned(), "metadata", "not of the form"),
        ("null".to_owned(), "metadata", "not of the form"),
        ("{\"0\": null}".to_owned(), "metadata", "not of the form"),
        (deep, "metadata", "metadata of the package"),
        (two("\"0\"", "\"0\""), "metadata", "row 0 stands twice"),
        (two("\"0\"", "\"2\""), "metadata", "row 1 is missing"),
        (two("\"1\"", "\"2\""), "metadata", "row 0 is missing"),
        (two("\"0\"", "\"01\""), "metadata", "a key is no row"),
        (two("\"0\"", "\"-1\""), "metadata", "a key is no row"),
        (two("\"0\"", "\"a\""), "metadata", "a key is no row"),
        (two("0", "1"), "metadata", "is no JSON"),
        (with("\"a\"", "7"), "metadata", "not of the form"),
        (
            with("\"content\"", "\"text\""),
            "metadata",
            "not of the form",
        ),
        (
            with("\"chunk_index\": 0", "\"chunk_index\": -1"),
            "metadata",
            "not of the form",
        ),
        (
            with("\"document_id\": 1", "\"document_id\": null"),
            "metadata",
            "not of the form",
        ),
        (with("\"a\"", "\"\\ud800\""), "metadata", "no metadata"),
        (
            "{}".to_owned(),
            "mismatch",
            "describes 0 pieces, and the index has 2",
        ),
        (
            format!("{{\"0\": {chunk}}}"),
            "mismatch",
            "describes 1 pieces",
        ),
    ];
    let cases = cases.into_iter();
    let cases = cases.map(|(text, label, says)| (FILE, text.into_bytes(), label, says));
    let latin = two("\"0\"", "\"1\"").replacen('a', "\u{1}", 1).into_bytes();
    let latin: Vec<u8> = latin
        .into_iter()
        .map(|byte| if byte == 1 { 0xe9 } else { byte })
        .collect();
    cases
        .chain([(FILE, latin, "metadata", "metadata of the package")])
        .collect()
}

#[test]
fn a_file_that_is_not_as_it_should_be_is_named_and_leaves_what_was_there() {
    let cases = [indexes(), metadata()].concat();
    assert!(cases.len() >= 55, "{} cases", cases.len());
    for (file, bytes, label, says) in cases {
        let site = Site::new();
        site.business(1, &two());
        let settings = site.settings(RetrievalKind::Faiss);
        let collections = site.collections(&settings);
        collections.read("1");
        site.write(file, &bytes);
        let folders = files::Folders::new(&settings);
        let states = folders.states("1");
        let fault = folders.read("1", &states, usize::MAX).expect_err(says);
        assert_eq!(fault.kind.label(), label, "{fault}");
        assert!(fault.to_string().contains(says), "{says:?} in {fault}");
        let path = site.path(file).display().to_string();
        let is_named = fault.to_string().starts_with(&path) || label == "mismatch";
        assert!(is_named, "{fault}");
        collections.read("1");
        assert_eq!((site.reads("taken"), site.reads(label)), (1, 1), "{says}");
        assert_eq!(
            nearest(&collections, "1", &[0.0, 1.0]),
            ["chunk 0 über", "chunk 1 über"],
            "{says}"
        );
    }
}

#[test]
fn one_file_without_the_other_is_named_and_neither_is_no_fault() {
    for (file, label) in [
        ("business_1.index", "missing"),
        ("business_1_metadata.json", "missing"),
    ] {
        let site = Site::new();
        site.business(1, &two());
        fs::remove_file(site.path(file)).unwrap();
        let collections = site.collections(&site.settings(RetrievalKind::Faiss));
        collections.read("1");
        assert_eq!(site.reads(label), 1, "{file}");
        assert_eq!(collections.has("1"), Some(false));
        collections.read("2");
        assert_eq!(site.reads("absent"), 1);
    }
}

#[test]
fn a_folder_or_a_pipe_in_the_place_of_a_file_is_unreadable_and_nobody_waits() {
    let site = Site::new();
    site.business(1, &two());
    fs::remove_file(site.path("business_1.index")).unwrap();
    fs::create_dir(site.path("business_1.index")).unwrap();
    let collections = site.collections(&site.settings(RetrievalKind::Faiss));
    collections.read("1");
    assert_eq!(site.reads("unreadable"), 1);
}

#[test]
fn a_business_that_is_more_than_its_half_is_refused_before_it_is_read() {
    let site = Site::new();
    site.business(1, &two());
    let sparse = fs::File::create(site.path("business_1.index")).unwrap();
    sparse.set_len(5 * 1024 * 1024).unwrap();
    let mut settings = site.settings(RetrievalKind::Faiss);
    settings.bytes_max = 8 * 1024 * 1024;
    let collections = site.collections(&settings);
    collections.read("1");
    assert_eq!(site.reads("too_large"), 1);
}

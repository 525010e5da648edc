//! The whole program of the library's chapter is the example that is compiled.

use super::{read, section};

#[test]
fn the_whole_program_is_the_example_and_shorter_than_40_lines() {
    let (page, shown) = section("program");
    let example = read("docs/board.rs");
    assert_eq!(page, "docs/library.md");
    assert_eq!(shown, format!("```rust\n{example}```"));
    assert!(example.lines().count() < 40, "{}", example.lines().count());
}

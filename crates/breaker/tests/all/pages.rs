//! The page of the site shows the table, too. It is not there where the crate is alone.

use tidegate_breaker::state::diagram;

#[test]
fn the_page_shows_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/breaker.md");
    let Ok(text) = std::fs::read_to_string(path) else {
        let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
        assert!(!std::path::Path::new(workspace).exists(), "the site has no {path}");
        return;
    };
    let diagram = format!("```mermaid\n{}```\n", diagram());
    assert!(text.contains(&diagram), "docs/src/breaker.md is to contain\n{diagram}");
}

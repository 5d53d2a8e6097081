//! Every row of docs/protocol.md is answered by a vector, or named with the reason why not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::format::{folder, vectors};

/// The groups that are complete. Rows of others have vectors too; what is not built yet is in docs/protocol.md §12.
const COMPLETE: [char; 15] = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'Q'];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeftOut {
    row: u32,
    /// The test that shows it, or why there is none.
    reason: String,
}

/// The rows of the conformance tables with their group.
fn rows() -> BTreeMap<u32, char> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
    let text = std::fs::read_to_string(file).expect("the protocol is in the repository");
    let (_, tables) = text.split_once("## 7. ").expect("the tables");
    let (tables, _) = tables.split_once("\n## 8. ").expect("what follows them");
    let mut group = ' ';
    let mut rows = BTreeMap::new();
    for line in tables.lines() {
        if let Some(title) = line.strip_prefix("### 7.") {
            group = title.chars().next().expect("a letter");
        }
        let number = line.strip_prefix("| ").and_then(|rest| rest.split(" |").next()?.parse().ok());
        if let Some(number) = number {
            rows.insert(number, group);
        }
    }
    rows
}

#[test]
fn every_row_has_its_vector_or_its_reason() {
    let rows = rows();
    assert!(rows.len() > 250, "the tables were not understood: {}", rows.len());
    let vectors = vectors();
    let played: BTreeSet<u32> = vectors.iter().flat_map(|(_, vector)| vector.rows.iter().copied()).collect();
    let text = std::fs::read_to_string(folder().join("left-out/rows.json")).expect("the list");
    let left_out: Vec<LeftOut> = serde_json::from_str(&text).expect("a list of rows and reasons");
    let excused: BTreeSet<u32> = left_out.iter().map(|left| left.row).collect();
    for row in played.union(&excused) {
        assert!(rows.contains_key(row), "there is no row {row}");
    }
    assert!(left_out.iter().all(|left| left.reason.len() > 20), "a reason says why");
    let both: Vec<_> = played.intersection(&excused).collect();
    assert!(both.is_empty(), "rows with a vector need no excuse: {both:?}");
    let missing: Vec<_> = rows
        .iter()
        .filter(|(row, group)| COMPLETE.contains(group) && !played.contains(row) && !excused.contains(row))
        .collect();
    assert!(missing.is_empty(), "rows without a vector: {missing:?}");
}

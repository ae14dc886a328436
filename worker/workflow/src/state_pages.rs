//! Cuts a state that is too large for the input of a run into pages.

use steadfast_agent_loop::Segment;
use steadfast_contract::activities::NewSegment;
use steadfast_payload::packed_size;

/// Packed state above this size travels as pages, which the next run fetches from the history of this one.
pub(crate) const INLINE_LIMIT_BYTES: usize = 1_000_000;
/// What one page holds, packed; a single segment may be larger.
const PAGE_LIMIT_BYTES: usize = 900_000;

/// Cuts segments into pages, each given by its references.
pub(crate) fn paginate<'a>(segments: impl IntoIterator<Item = (NewSegment, &'a Segment)>) -> Vec<Vec<NewSegment>> {
    let mut pages = Vec::new();
    let mut page = Vec::new();
    let mut size_bytes = 0;
    for (reference, segment) in segments {
        let size = packed_size(segment);
        if size_bytes + size > PAGE_LIMIT_BYTES && !page.is_empty() {
            pages.push(std::mem::take(&mut page));
            size_bytes = 0;
        }
        size_bytes += size;
        page.push(reference);
    }
    if !page.is_empty() {
        pages.push(page);
    }
    pages
}

//! Cuts a state that is too large for the input of a run into pages.

use steadfast_agent_loop::Segment;
use steadfast_contract::activities::NewSegment;
use steadfast_payload::{PAYLOAD_LIMIT_BYTES, packed_size};

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
        if size > PAYLOAD_LIMIT_BYTES {
            // An answer that came in parts fits into no page: it travels with the state, which is cut into parts.
            pages.push(vec![NewSegment::Whole(Box::new(segment.clone()))]);
            continue;
        }
        size_bytes += size;
        page.push(reference);
    }
    if !page.is_empty() {
        pages.push(page);
    }
    pages
}

/// Cuts segments into pages.
pub(crate) fn paginate_owned(segments: Vec<Segment>) -> Vec<Vec<Segment>> {
    let mut pages: Vec<Vec<Segment>> = Vec::new();
    let mut size_bytes = PAGE_LIMIT_BYTES;
    for segment in segments {
        let size = packed_size(&segment);
        size_bytes += size;
        match pages.last_mut() {
            Some(page) if size_bytes <= PAGE_LIMIT_BYTES => page.push(segment),
            _ => {
                size_bytes = size;
                pages.push(vec![segment]);
            }
        }
    }
    pages
}

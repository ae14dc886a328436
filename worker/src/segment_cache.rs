//! What this process knows of the histories of the runs it works on, so that a
//! model call need not read them from the server. A cache and nothing more:
//! whatever is missing here stands in the history.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use steadfast_agent_loop::{Body, Segment, SegmentRef};
use steadfast_contract::{
    activities::{NewSegment, Revision},
    start::StartTask,
};
use steadfast_history::HistoryView;
use steadfast_workflow::SegmentSink;

/// Segments and revisions by run, bounded in size; the runs not used for longest go first.
pub struct SegmentCache {
    limit_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    runs: HashMap<String, Run>,
    size_bytes: usize,
    clock: u64,
}

#[derive(Default)]
struct Run {
    segments: HashMap<SegmentRef, Arc<Segment>>,
    revisions: HashMap<String, Arc<Revision>>,
    start: Option<Arc<StartTask>>,
    /// What the model calls were told of so far, in order.
    transcript: Vec<Arc<Segment>>,
    size_bytes: usize,
    used_at: u64,
}

impl Default for SegmentCache {
    fn default() -> Self {
        Self::new(128 * 1024 * 1024)
    }
}

impl SegmentCache {
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            inner: Mutex::default(),
        }
    }

    pub fn start(&self, run_id: &str) -> Option<Arc<StartTask>> {
        self.lock().runs.get(run_id)?.start.clone()
    }

    pub fn segment(&self, run_id: &str, reference: &SegmentRef) -> Option<Arc<Segment>> {
        self.lock().runs.get(run_id)?.segments.get(reference).cloned()
    }

    pub fn revision(&self, run_id: &str, name: &str) -> Option<Arc<Revision>> {
        self.lock().runs.get(run_id)?.revisions.get(name).cloned()
    }

    /// The transcript of a model call: `base` segments known before, then the new ones. `None` if
    /// anything is missing here.
    pub fn transcript(&self, run_id: &str, base: u32, new: &[NewSegment]) -> Option<Vec<Arc<Segment>>> {
        let mut inner = self.lock();
        let run = inner.touch(run_id);
        let base = usize::try_from(base).ok()?;
        if run.transcript.len() < base {
            return None;
        }
        let mut added = Vec::with_capacity(new.len());
        for segment in new {
            added.push(match segment {
                NewSegment::Ref(reference) => run.segments.get(reference)?.clone(),
                NewSegment::Whole(segment) => Arc::new((**segment).clone()),
            });
        }
        run.transcript.truncate(base);
        run.transcript.extend(added);
        Some(run.transcript.clone())
    }

    /// Takes over what the history says.
    pub fn fill(&self, run_id: &str, view: HistoryView) {
        let mut inner = self.lock();
        let run = inner.touch(run_id);
        let before = run.size_bytes;
        for (reference, segment) in view.segments {
            let size_bytes = size_of_segment(&segment);
            if run.segments.insert(reference, Arc::new(segment)).is_none() {
                run.size_bytes += size_bytes;
            }
        }
        for (name, revision) in view.revisions {
            run.revisions.insert(name, Arc::new(revision));
        }
        run.start = view.start.map(Arc::new);
        let segments = &run.segments;
        run.transcript = view
            .transcript
            .iter()
            .map_while(|segment| match segment {
                NewSegment::Ref(reference) => segments.get(reference).cloned(),
                NewSegment::Whole(segment) => Some(Arc::new((**segment).clone())),
            })
            .collect();
        let grown = run.size_bytes - before;
        inner.size_bytes += grown;
        inner.make_room(self.limit_bytes, run_id);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing is left half done by a panic: each change is one insertion.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SegmentSink for SegmentCache {
    fn put_start(&self, run_id: &str, start: &StartTask) {
        self.lock().touch(run_id).start = Some(Arc::new(start.clone()));
    }

    fn put_segment(&self, run_id: &str, reference: SegmentRef, segment: &Segment) {
        let mut inner = self.lock();
        // A replay offers again what is here already.
        if inner.touch(run_id).segments.contains_key(&reference) {
            return;
        }
        inner.insert(run_id, [reference], segment.clone());
        inner.make_room(self.limit_bytes, run_id);
    }

    fn put_inherited(&self, run_id: &str, index: u32, segment: &Segment) {
        let mut inner = self.lock();
        let inherited = SegmentRef::Carried(index);
        if inner.touch(run_id).segments.contains_key(&inherited) {
            return;
        }
        inner.insert(run_id, [inherited, segment.reference()], segment.clone());
        inner.make_room(self.limit_bytes, run_id);
    }

    fn put_revision(&self, run_id: &str, revision: &Revision) {
        let mut inner = self.lock();
        let revisions = &mut inner.touch(run_id).revisions;
        if !revisions.contains_key(&revision.name) {
            revisions.insert(revision.name.clone(), Arc::new(revision.clone()));
        }
    }

    fn forget(&self, run_id: &str) {
        let mut inner = self.lock();
        if let Some(run) = inner.runs.remove(run_id) {
            inner.size_bytes -= run.size_bytes;
        }
    }
}

impl Inner {
    fn insert<const N: usize>(&mut self, run_id: &str, names: [SegmentRef; N], segment: Segment) {
        let size_bytes = size_of_segment(&segment);
        let segment = Arc::new(segment);
        let run = self.touch(run_id);
        for name in names {
            run.segments.insert(name, segment.clone());
        }
        run.size_bytes += size_bytes;
        self.size_bytes += size_bytes;
    }

    fn touch(&mut self, run_id: &str) -> &mut Run {
        self.clock += 1;
        let run = self.runs.entry(run_id.to_owned()).or_default();
        run.used_at = self.clock;
        run
    }

    fn make_room(&mut self, limit_bytes: usize, keep: &str) {
        while self.size_bytes > limit_bytes {
            let oldest = self
                .runs
                .iter()
                .filter(|(id, _)| *id != keep)
                .min_by_key(|(_, run)| run.used_at);
            let Some(id) = oldest.map(|(id, _)| id.clone()) else {
                return;
            };
            if let Some(run) = self.runs.remove(&id) {
                self.size_bytes -= run.size_bytes;
            }
        }
    }
}

/// About what a segment takes in memory: a tool's result stands there once more, as the text the model reads.
fn size_of_segment(segment: &Segment) -> usize {
    let copies = if matches!(segment.body, Body::Tool { .. }) {
        2
    } else {
        1
    };
    copies * serde_json::to_string(segment).map_or(0, |json| json.len())
}

#[cfg(test)]
mod tests {
    use steadfast_agent_loop::UserContent;

    use super::*;

    fn segment(text: &str) -> Segment {
        Segment {
            turn: 1,
            step: 0,
            at: jiff::Timestamp::UNIX_EPOCH,
            body: Body::User {
                message_id: text.to_owned(),
                content: UserContent::Text(text.to_owned()),
            },
        }
    }

    fn reference(text: &str) -> NewSegment {
        NewSegment::Ref(SegmentRef::Message(text.to_owned()))
    }

    #[test]
    fn a_transcript_grows_from_call_to_call() {
        let cache = SegmentCache::default();
        cache.put_segment("r", segment("a").reference(), &segment("a"));
        cache.put_segment("r", segment("b").reference(), &segment("b"));
        let first = cache.transcript("r", 0, &[reference("a")]);
        assert_eq!(first, Some(vec![Arc::new(segment("a"))]));
        let second = cache.transcript("r", 1, &[reference("b")]);
        assert_eq!(second, Some(vec![Arc::new(segment("a")), Arc::new(segment("b"))]));
    }

    #[test]
    fn what_is_missing_is_said_and_not_made_up() {
        let cache = SegmentCache::default();
        assert_eq!(cache.transcript("r", 0, &[reference("a")]), None);
        assert_eq!(cache.transcript("r", 1, &[]), None);
    }

    #[test]
    fn the_run_not_used_for_longest_goes_first() {
        let cache = SegmentCache::new(size_of_segment(&segment("a")) * 2);
        for run in ["one", "two", "three"] {
            cache.put_segment(run, segment("a").reference(), &segment("a"));
        }
        assert_eq!(cache.segment("one", &segment("a").reference()), None);
        assert!(cache.segment("three", &segment("a").reference()).is_some());
    }
}

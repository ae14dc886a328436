//! A cache of the histories of runs, so that a model call does not read them from
//! the server. The workflow fills it; whatever is missing is in the history.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use serde_json::Value;
use steadfast_agent_loop::{Body, Segment, SegmentRef};
use steadfast_contract::{
    activities::{NewSegment, Revision},
    start::StartTask,
};
use steadfast_history::HistoryView;
use steadfast_payload::json_size;
use steadfast_workflow::SegmentSink;

const DEFAULT_LIMIT_BYTES: usize = 128 << 20;

/// Segments and revisions by run, limited in size. The least recently used run is removed first.
pub(crate) struct SegmentCache {
    limit_bytes: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    runs: LruCache<String, Run>,
    size_bytes: usize,
}

#[derive(Default)]
struct Run {
    segments: HashMap<SegmentRef, Arc<Segment>>,
    revisions: HashMap<String, Arc<Revision>>,
    start: Option<Arc<StartTask>>,
    /// The run that it continues, once its history has been read; empty in the first.
    continues: Option<String>,
    /// The results of the steps of `steps` tools, by activity id.
    steps: HashMap<String, Arc<Value>>,
    /// The transcript of the last model call.
    transcript: Vec<Arc<Segment>>,
    size_bytes: usize,
}

impl Default for SegmentCache {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT_BYTES)
    }
}

impl SegmentCache {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let inner = Inner {
            runs: LruCache::unbounded(),
            size_bytes: 0,
        };
        Self {
            limit_bytes,
            inner: Mutex::new(inner),
        }
    }

    pub(crate) fn start(&self, run_id: &str) -> Option<Arc<StartTask>> {
        self.lock().runs.get(run_id)?.start.clone()
    }

    pub(crate) fn segment(&self, run_id: &str, reference: &SegmentRef) -> Option<Arc<Segment>> {
        self.lock().runs.get(run_id)?.segments.get(reference).cloned()
    }

    /// The run that a run continues, if its history has been read; empty for the first.
    pub(crate) fn run_before(&self, run_id: &str) -> Option<String> {
        self.lock().runs.get(run_id)?.continues.clone()
    }

    pub(crate) fn step(&self, run_id: &str, activity_id: &str) -> Option<Arc<Value>> {
        self.lock().runs.get(run_id)?.steps.get(activity_id).cloned()
    }

    pub(crate) fn revision(&self, run_id: &str, name: &str) -> Option<Arc<Revision>> {
        self.lock().runs.get(run_id)?.revisions.get(name).cloned()
    }

    /// The transcript of a model call: the first `base` segments of the call before, then the new ones. None if the
    /// cache lacks one of them.
    pub(crate) fn transcript(&self, run_id: &str, base: u32, new: &[NewSegment]) -> Option<Vec<Arc<Segment>>> {
        let mut inner = self.lock();
        let run = inner.runs.get_mut(run_id)?;
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

    /// Adds the contents of a run's history.
    pub(crate) fn fill(&self, run_id: &str, view: HistoryView) {
        self.update(run_id, |run| {
            for (reference, segment) in view.segments {
                run.insert_segment([reference], segment);
            }
            for revision in view.revisions.into_values() {
                run.insert_revision(revision);
            }
            for (activity_id, result) in view.steps {
                run.insert_step(activity_id, result);
            }
            run.start = view.start.map(Arc::new);
            run.continues = Some(view.run_before);
            let segments = &run.segments;
            run.transcript = view
                .transcript
                .iter()
                .map_while(|segment| match segment {
                    NewSegment::Ref(reference) => segments.get(reference).cloned(),
                    NewSegment::Whole(segment) => Some(Arc::new((**segment).clone())),
                })
                .collect();
        });
    }

    /// Changes a run, which becomes the most recently used one, and then removes other runs above the limit.
    fn update(&self, run_id: &str, change: impl FnOnce(&mut Run)) {
        let mut inner = self.lock();
        let run = inner.runs.get_or_insert_mut_ref(run_id, Run::default);
        let before = run.size_bytes;
        change(run);
        let grown = run.size_bytes - before;
        inner.size_bytes += grown;
        while inner.size_bytes > self.limit_bytes && inner.runs.len() > 1 {
            let Some((_, removed)) = inner.runs.pop_lru() else {
                break;
            };
            inner.size_bytes -= removed.size_bytes;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic leaves a valid cache: each change is one insertion.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SegmentSink for SegmentCache {
    fn put_start(&self, run_id: &str, start: &StartTask) {
        self.update(run_id, |run| run.start = Some(Arc::new(start.clone())));
    }

    fn put_segment(&self, run_id: &str, reference: SegmentRef, segment: &Segment) {
        self.update(run_id, |run| {
            // A replay offers the same segments again.
            if !run.segments.contains_key(&reference) {
                run.insert_segment([reference], segment.clone());
            }
        });
    }

    fn put_inherited(&self, run_id: &str, index: u32, segment: &Segment) {
        self.update(run_id, |run| {
            let inherited = SegmentRef::Inherited(index);
            if !run.segments.contains_key(&inherited) {
                run.insert_segment([inherited, segment.reference()], segment.clone());
            }
        });
    }

    fn put_step(&self, run_id: &str, activity_id: &str, result: &Value) {
        self.update(run_id, |run| run.insert_step(activity_id.to_owned(), result.clone()));
    }

    fn put_revision(&self, run_id: &str, revision: &Revision) {
        self.update(run_id, |run| {
            if !run.revisions.contains_key(&revision.name) {
                run.insert_revision(revision.clone());
            }
        });
    }

    fn forget(&self, run_id: &str) {
        let mut inner = self.lock();
        if let Some(run) = inner.runs.pop(run_id) {
            inner.size_bytes -= run.size_bytes;
        }
    }
}

impl Run {
    fn insert_segment<const N: usize>(&mut self, names: [SegmentRef; N], segment: Segment) {
        let segment = Arc::new(segment);
        let mut is_new = false;
        for name in names {
            is_new |= self.segments.insert(name, segment.clone()).is_none();
        }
        if is_new {
            self.size_bytes += size_of_segment(&segment);
        }
    }

    fn insert_step(&mut self, activity_id: String, result: Value) {
        let size_bytes = json_size(&result);
        if self.steps.insert(activity_id, Arc::new(result)).is_none() {
            self.size_bytes += size_bytes;
        }
    }

    fn insert_revision(&mut self, revision: Revision) {
        let size_bytes = json_size(&revision);
        if self
            .revisions
            .insert(revision.name.clone(), Arc::new(revision))
            .is_none()
        {
            self.size_bytes += size_bytes;
        }
    }
}

/// The approximate size in memory. The result of a tool is in memory twice: as JSON and as the model's text.
fn size_of_segment(segment: &Segment) -> usize {
    let copies = if matches!(segment.body, Body::Tool { .. }) {
        2
    } else {
        1
    };
    copies * json_size(segment)
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
                idempotency_key: None,
                content: UserContent::Text(text.to_owned()),
                sender: String::new(),
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
    fn a_transcript_with_a_missing_segment_is_none() {
        let cache = SegmentCache::default();
        assert_eq!(cache.transcript("r", 0, &[reference("a")]), None);
        cache.put_segment("r", segment("a").reference(), &segment("a"));
        assert_eq!(cache.transcript("r", 0, &[reference("b")]), None);
        assert_eq!(cache.transcript("r", 1, &[]), None);
    }

    #[test]
    fn the_least_recently_used_run_is_removed_first() {
        let cache = SegmentCache::new(size_of_segment(&segment("a")) * 2);
        for run in ["one", "two"] {
            cache.put_segment(run, segment("a").reference(), &segment("a"));
        }
        assert!(cache.segment("one", &segment("a").reference()).is_some());
        cache.put_segment("three", segment("a").reference(), &segment("a"));
        assert_eq!(cache.segment("two", &segment("a").reference()), None);
        for run in ["one", "three"] {
            assert!(cache.segment(run, &segment("a").reference()).is_some(), "{run}");
        }
    }

    #[test]
    fn a_run_above_the_limit_is_kept_while_it_is_in_use() {
        let cache = SegmentCache::new(1);
        for text in ["a", "b"] {
            cache.put_segment("r", segment(text).reference(), &segment(text));
        }
        assert!(cache.segment("r", &segment("a").reference()).is_some());
    }
}

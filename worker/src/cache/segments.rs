//! A cache of the histories of runs, so that a model call does not read them from
//! the server. The workflow fills it; whatever is missing is in the history.
//!
//! It also decides which workflows stay in memory, because it knows how large each one is and which of them wait for
//! a message. The SDK only counts them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
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
use tokio::sync::mpsc;

/// What a workflow takes in memory beside its segments: the SDK's state of it, its futures, and this cache's tables.
/// Measured with `cargo xtask bench turn`.
const WORKFLOW_BYTES: usize = 112 << 10;
/// After so much time without a message, a workflow is one of the idle ones.
const IDLE: Duration = Duration::from_secs(30);

/// How much memory the tasks of a worker may take, in bytes. Above it the least recently used one is removed, and
/// replayed when it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheLimits {
    /// All tasks, also those that are at work.
    pub(crate) all: usize,
    /// The tasks that wait for a message.
    pub(crate) resting: usize,
    /// Those among them that have waited for 30 s.
    pub(crate) idle: usize,
}

/// Segments and revisions by run, limited in size. The least recently used run is removed first.
pub(crate) struct SegmentCache {
    limits: CacheLimits,
    /// Where the cache sends the runs whose workflows are to be removed from memory.
    evictions: mpsc::UnboundedSender<String>,
    inner: Mutex<Inner>,
}

struct Inner {
    runs: LruCache<String, Run>,
    size_bytes: usize,
    resting_bytes: usize,
    /// The revisions that runs are on, by name.
    revisions: HashMap<String, Weak<Revision>>,
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
    /// The workflow is in memory.
    workflow: bool,
    /// Since when it waits for a message.
    resting_since: Option<Instant>,
    /// Calls that wait for people.
    asked: u32,
    size_bytes: usize,
}

impl SegmentCache {
    /// An empty cache, and the runs whose workflows it wants to be removed from memory.
    pub(crate) fn new(limits: CacheLimits) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (evictions, evicted) = mpsc::unbounded_channel();
        let inner = Inner {
            runs: LruCache::unbounded(),
            size_bytes: 0,
            resting_bytes: 0,
            revisions: HashMap::new(),
        };
        let cache = Self {
            limits,
            evictions,
            inner: Mutex::new(inner),
        };
        (cache, evicted)
    }

    /// How many turns are under way that wait for no person: their workflows are in memory and wait for an activity, of
    /// this worker or of another one.
    pub(crate) fn turns(&self) -> usize {
        let inner = self.lock();
        let is_at_work = |run: &Run| run.workflow && run.resting_since.is_none() && run.asked == 0;
        inner.runs.iter().filter(|(_, run)| is_at_work(run)).count()
    }

    /// Removes the idle tasks above their limit, again and again.
    pub(crate) async fn remove_idle(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(IDLE / 3);
        loop {
            ticks.tick().await;
            self.remove_idle_at(Instant::now());
        }
    }

    fn remove_idle_at(&self, now: Instant) {
        let is_idle = |since| now.duration_since(since) >= IDLE;
        let mut inner = self.lock();
        let idle = inner
            .runs
            .iter()
            .filter(|(_, run)| run.resting_since.is_some_and(is_idle));
        let above_bytes = idle
            .map(|(_, run)| run.size_bytes)
            .sum::<usize>()
            .saturating_sub(self.limits.idle);
        self.remove_resting(&mut inner, above_bytes, is_idle);
    }

    fn rest_at(&self, run_id: &str, now: Instant) {
        let mut inner = self.lock();
        inner.change(run_id, |run| run.resting_since = Some(now));
        let above_bytes = inner.resting_bytes.saturating_sub(self.limits.resting);
        // Not this one, whose last commands are not even sent.
        self.remove_resting(&mut inner, above_bytes, |since| since < now);
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
                run.insert_segment([reference], &Arc::new(segment));
            }
            for revision in view.revisions.into_values() {
                run.revisions.entry(revision.name.clone()).or_insert(revision);
            }
            for (activity_id, result) in view.steps {
                run.insert_step(activity_id, result);
            }
            run.start = view.start.map(Arc::new);
            run.continues = Some(view.run_before);
            if !run.workflow {
                // An activity whose workflow another process has.
                run.resting_since = Some(Instant::now());
            }
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
        inner.change(run_id, change);
        while inner.size_bytes > self.limits.all && inner.runs.len() > 1 {
            let Some(oldest) = inner.runs.peek_lru().map(|(run_id, _)| run_id.clone()) else {
                break;
            };
            self.remove(&mut inner, &oldest);
        }
    }

    /// Removes so many bytes of the runs that rest and are chosen, the least recently used first.
    fn remove_resting(&self, inner: &mut Inner, mut above_bytes: usize, choose: impl Fn(Instant) -> bool) {
        let mut removed = Vec::new();
        for (run_id, run) in inner.runs.iter().rev() {
            if above_bytes == 0 {
                break;
            }
            if run.resting_since.is_some_and(&choose) {
                above_bytes = above_bytes.saturating_sub(run.size_bytes);
                removed.push(run_id.clone());
            }
        }
        for run_id in removed {
            self.remove(inner, &run_id);
        }
    }

    fn remove(&self, inner: &mut Inner, run_id: &str) {
        if inner.remove(run_id).is_some_and(|run| run.workflow) {
            // The receiver is gone when the worker stops, and the workflows with it.
            drop(self.evictions.send(run_id.to_owned()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic leaves a valid cache: each change is one insertion.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Changes a run, which becomes the most recently used one.
    fn change(&mut self, run_id: &str, change: impl FnOnce(&mut Run)) {
        let run = self.runs.get_or_insert_mut_ref(run_id, Run::default);
        let (size_before, resting_before) = (run.size_bytes, run.resting_bytes());
        change(run);
        self.size_bytes = self.size_bytes - size_before + run.size_bytes;
        self.resting_bytes = self.resting_bytes - resting_before + run.resting_bytes();
    }

    fn remove(&mut self, run_id: &str) -> Option<Run> {
        let run = self.runs.pop(run_id)?;
        self.size_bytes -= run.size_bytes;
        self.resting_bytes -= run.resting_bytes();
        Some(run)
    }

    /// The one copy of a revision.
    fn share(&mut self, revision: Arc<Revision>) -> Arc<Revision> {
        let known = self.revisions.get(&revision.name).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| *known == revision) {
            return known;
        }
        self.revisions.retain(|_, revision| revision.strong_count() > 0);
        self.revisions.insert(revision.name.clone(), Arc::downgrade(&revision));
        revision
    }
}

impl SegmentSink for SegmentCache {
    fn put_start(&self, run_id: &str, start: &StartTask) {
        self.update(run_id, |run| {
            run.start = Some(Arc::new(start.clone()));
            if !std::mem::replace(&mut run.workflow, true) {
                run.size_bytes += WORKFLOW_BYTES;
            }
        });
    }

    fn put_segment(&self, run_id: &str, reference: SegmentRef, segment: &Arc<Segment>) {
        self.update(run_id, |run| {
            // A replay offers the same segments again.
            if !run.segments.contains_key(&reference) {
                run.insert_segment([reference], segment);
            }
        });
    }

    fn put_inherited(&self, run_id: &str, index: u32, segment: &Arc<Segment>) {
        self.update(run_id, |run| {
            let inherited = SegmentRef::Inherited(index);
            if !run.segments.contains_key(&inherited) {
                run.insert_segment([inherited, segment.reference()], segment);
            }
        });
    }

    fn put_step(&self, run_id: &str, activity_id: &str, result: &Value) {
        self.update(run_id, |run| run.insert_step(activity_id.to_owned(), result.clone()));
    }

    fn put_revision(&self, run_id: &str, revision: Arc<Revision>) -> Arc<Revision> {
        let revision = self.lock().share(revision);
        self.update(run_id, |run| {
            run.revisions.insert(revision.name.clone(), revision.clone());
        });
        revision
    }

    fn rest(&self, run_id: &str) {
        self.rest_at(run_id, Instant::now());
    }

    fn wake(&self, run_id: &str) {
        self.lock().change(run_id, |run| run.resting_since = None);
    }

    fn ask(&self, run_id: &str) {
        self.lock()
            .change(run_id, |run| run.asked = run.asked.saturating_add(1));
    }

    fn answer(&self, run_id: &str) {
        self.lock()
            .change(run_id, |run| run.asked = run.asked.saturating_sub(1));
    }

    fn forget(&self, run_id: &str) {
        self.lock().remove(run_id);
    }
}

impl Run {
    fn resting_bytes(&self) -> usize {
        self.resting_since.map_or(0, |_| self.size_bytes)
    }

    fn insert_segment<const N: usize>(&mut self, names: [SegmentRef; N], segment: &Arc<Segment>) {
        let mut is_new = false;
        for name in names {
            is_new |= self.segments.insert(name, segment.clone()).is_none();
        }
        if is_new {
            self.size_bytes += size_of_segment(segment);
        }
    }

    fn insert_step(&mut self, activity_id: String, result: Value) {
        let size_bytes = json_size(&result);
        if self.steps.insert(activity_id, Arc::new(result)).is_none() {
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
    use serde_json::json;
    use steadfast_agent_loop::UserContent;

    use super::*;

    const NO_LIMITS: CacheLimits = CacheLimits {
        all: usize::MAX,
        resting: usize::MAX,
        idle: usize::MAX,
    };

    fn cache(limits: CacheLimits) -> SegmentCache {
        SegmentCache::new(limits).0
    }

    fn segment(text: &str) -> Arc<Segment> {
        Arc::new(Segment {
            turn: 1,
            step: 0,
            at: jiff::Timestamp::UNIX_EPOCH,
            body: Body::User {
                message_id: text.to_owned(),
                idempotency_key: None,
                content: UserContent::Text(text.to_owned()),
                sender: String::new(),
            },
        })
    }

    fn reference(text: &str) -> NewSegment {
        NewSegment::Ref(SegmentRef::Message(text.to_owned()))
    }

    #[test]
    fn a_transcript_grows_from_call_to_call() {
        let cache = cache(NO_LIMITS);
        cache.put_segment("r", segment("a").reference(), &segment("a"));
        cache.put_segment("r", segment("b").reference(), &segment("b"));
        let first = cache.transcript("r", 0, &[reference("a")]);
        assert_eq!(first, Some(vec![segment("a")]));
        let second = cache.transcript("r", 1, &[reference("b")]);
        assert_eq!(second, Some(vec![segment("a"), segment("b")]));
    }

    #[test]
    fn a_transcript_with_a_missing_segment_is_none() {
        let cache = cache(NO_LIMITS);
        assert_eq!(cache.transcript("r", 0, &[reference("a")]), None);
        cache.put_segment("r", segment("a").reference(), &segment("a"));
        assert_eq!(cache.transcript("r", 0, &[reference("b")]), None);
        assert_eq!(cache.transcript("r", 1, &[]), None);
    }

    #[test]
    fn the_least_recently_used_run_is_removed_first() {
        let cache = cache(CacheLimits {
            all: size_of_segment(&segment("a")) * 2,
            ..NO_LIMITS
        });
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
    fn a_turn_is_under_way_while_it_waits_for_activities_and_not_while_it_waits_for_people() {
        let cache = cache(NO_LIMITS);
        let step = |work: &dyn Fn(&SegmentCache)| {
            work(&cache);
            cache.turns()
        };
        assert_eq!(
            step(&|cache| cache.put_start("r", &StartTask::new("t", "default", "a"))),
            1
        );
        assert_eq!(step(&|cache| cache.rest("r")), 0);
        assert_eq!(step(&|cache| cache.wake("r")), 1);
        assert_eq!(step(&|cache| cache.ask("r")), 0);
        assert_eq!(step(&|cache| cache.ask("r")), 0);
        assert_eq!(step(&|cache| cache.answer("r")), 0, "another call waits");
        assert_eq!(step(&|cache| cache.answer("r")), 1);
        assert_eq!(step(&|cache| cache.forget("r")), 0);
        // An activity whose workflow another worker has.
        assert_eq!(
            step(&|cache| cache.put_segment("other", segment("a").reference(), &segment("a"))),
            0
        );
    }

    #[test]
    fn a_run_above_the_limit_is_kept_while_it_is_in_use() {
        let cache = cache(CacheLimits { all: 1, ..NO_LIMITS });
        for text in ["a", "b"] {
            cache.put_segment("r", segment(text).reference(), &segment(text));
        }
        assert!(cache.segment("r", &segment("a").reference()).is_some());
    }

    /// A cache with these tasks, which rest since these seconds, and the evictions that it asks for.
    fn resting(limits: CacheLimits, runs: &[(&str, u64)]) -> (SegmentCache, mpsc::UnboundedReceiver<String>, Instant) {
        let (cache, evicted) = SegmentCache::new(limits);
        let began = Instant::now();
        for (run, second) in runs {
            cache.put_start(run, &StartTask::new("t", "default", "a"));
            cache.rest_at(run, began + Duration::from_secs(*second));
        }
        (cache, evicted, began)
    }

    fn drained(evicted: &mut mpsc::UnboundedReceiver<String>) -> Vec<String> {
        std::iter::from_fn(|| evicted.try_recv().ok()).collect()
    }

    #[test]
    fn of_the_tasks_that_rest_the_oldest_is_evicted_and_none_that_is_at_work() {
        let limits = CacheLimits {
            resting: WORKFLOW_BYTES * 2,
            ..NO_LIMITS
        };
        let (cache, mut evicted, began) = resting(limits, &[("one", 0), ("two", 1)]);
        cache.put_start("at work", &StartTask::new("t", "default", "a"));
        cache.put_start("three", &StartTask::new("t", "default", "a"));
        assert_eq!(drained(&mut evicted), Vec::<String>::new());
        cache.rest_at("three", began + Duration::from_secs(2));
        assert_eq!(drained(&mut evicted), ["one"]);
        assert_eq!(cache.start("one"), None);
    }

    #[test]
    fn the_task_that_begins_to_rest_is_kept_however_large_it_is() {
        let limits = CacheLimits {
            resting: 1,
            ..NO_LIMITS
        };
        let (_, mut evicted, _) = resting(limits, &[("one", 0)]);
        assert_eq!(drained(&mut evicted), Vec::<String>::new());
    }

    #[test]
    fn idle_tasks_have_a_limit_of_their_own() {
        let limits = CacheLimits {
            idle: WORKFLOW_BYTES,
            ..NO_LIMITS
        };
        let (cache, mut evicted, began) = resting(limits, &[("one", 0), ("two", 1)]);
        cache.remove_idle_at(began + IDLE);
        assert_eq!(drained(&mut evicted), Vec::<String>::new());
        cache.remove_idle_at(began + IDLE + Duration::from_secs(1));
        assert_eq!(drained(&mut evicted), ["one"]);
    }

    #[test]
    fn a_workflow_that_has_gone_is_not_evicted() {
        let limits = CacheLimits { all: 1, ..NO_LIMITS };
        let (cache, mut evicted, _) = resting(limits, &[("one", 0)]);
        cache.forget("one");
        cache.put_start("two", &StartTask::new("t", "default", "a"));
        assert_eq!(drained(&mut evicted), Vec::<String>::new());
        cache.put_start("three", &StartTask::new("t", "default", "a"));
        assert_eq!(drained(&mut evicted), ["two"]);
    }

    #[test]
    fn runs_share_a_revision_unless_it_differs() {
        let cache = cache(NO_LIMITS);
        let revision = |instructions: &str| {
            let spec = json!({"agent": "a", "sequence": 1, "taskQueue": "q", "instructions": instructions, "model": {"name": "m"}});
            let spec = serde_json::from_value(spec).expect("a revision");
            Arc::new(Revision {
                name: "a-1".to_owned(),
                spec,
            })
        };
        let one = cache.put_revision("one", revision("Help."));
        let two = cache.put_revision("two", revision("Help."));
        assert!(Arc::ptr_eq(&one, &two));
        let other = cache.put_revision("three", revision("Do not."));
        assert_eq!(other, revision("Do not."));
    }

    #[test]
    fn sizes_are_given_back() {
        let cache = cache(NO_LIMITS);
        cache.put_start("r", &StartTask::new("t", "default", "a"));
        cache.put_segment("r", segment("a").reference(), &segment("a"));
        cache.rest("r");
        cache.put_segment("r", segment("b").reference(), &segment("b"));
        cache.forget("r");
        let inner = cache.lock();
        assert_eq!((inner.size_bytes, inner.resting_bytes), (0, 0));
    }
}

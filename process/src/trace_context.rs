//! Which trace and which span: ids that every process derives alike from the
//! names it knows, and the W3C `traceparent` that carries them to others. Pure;
//! only a span that nobody else has to name gets a random id.

use std::cell::Cell;

use opentelemetry::trace::{SpanBuilder, SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, trace::Tracer as _};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, Span};
use uuid::Uuid;

/// The trace a name stands for: 32 hex digits and UUIDs are taken as they are,
/// any other text is hashed.
pub fn trace_id_of(name: &str) -> TraceId {
    let uuid = Uuid::parse_str(name).ok().filter(|uuid| !uuid.is_nil());
    TraceId::from_bytes(uuid.unwrap_or_else(|| named(name)).into_bytes())
}

/// The span a name stands for: 16 hex digits are taken as they are, of a UUID the
/// first half, any other text is hashed.
pub fn span_id_of(name: &str) -> SpanId {
    if let Some(id) = parse_span_id(name) {
        return id;
    }
    let given = Uuid::parse_str(name).ok().map(first_half);
    given
        .filter(|id| *id != SpanId::INVALID)
        .unwrap_or_else(|| first_half(named(name)))
}

fn named(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

fn first_half(uuid: Uuid) -> SpanId {
    SpanId::from_bytes(uuid.as_u64_pair().0.to_be_bytes())
}

/// Reads a `traceparent` header; nothing when it is not a valid one, as the
/// standard asks.
pub fn parse_traceparent(header: &str) -> Option<SpanContext> {
    let mut parts = header.trim().split('-');
    let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let known = version == "00" && parts.next().is_none();
    let newer = version != "00" && version != "ff" && is_hex(version, 2);
    if !(known || newer) || !is_hex(trace_id, 32) || !is_hex(flags, 2) {
        return None;
    }
    let trace_id = TraceId::from_hex(trace_id).ok().filter(|id| *id != TraceId::INVALID)?;
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    Some(SpanContext::new(
        trace_id,
        parse_span_id(span_id)?,
        TraceFlags::default().with_sampled(sampled),
        true,
        TraceState::default(),
    ))
}

/// The `traceparent` header that names a span.
pub fn format_traceparent(span: &SpanContext) -> String {
    format!(
        "00-{}-{}-{:02x}",
        span.trace_id(),
        span.span_id(),
        span.trace_flags().to_u8() & 1
    )
}

fn parse_span_id(text: &str) -> Option<SpanId> {
    let id = is_hex(text, 16).then(|| SpanId::from_hex(text).ok()).flatten()?;
    (id != SpanId::INVALID).then_some(id)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Where a span stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub trace_id: TraceId,
    /// A span of any process, recorded already or later; none for the root of the trace.
    pub parent: Option<SpanId>,
    /// Given where other processes name this span as their parent, else random.
    pub span_id: Option<SpanId>,
}

impl Place {
    /// The parent as others are told of it.
    pub fn parent_context(&self) -> Option<SpanContext> {
        let parent = self.parent?;
        let flags = TraceFlags::SAMPLED;
        Some(SpanContext::new(
            self.trace_id,
            parent,
            flags,
            true,
            TraceState::default(),
        ))
    }

    /// Starts a span here.
    pub fn start(&self, tracer: &SdkTracer, span: SpanBuilder) -> Span {
        let context = Context::new();
        let context = match self.parent_context() {
            Some(parent) => context.with_remote_span_context(parent),
            None => context,
        };
        let _given = Given::set(*self);
        tracer.build_with_context(span, &context)
    }
}

thread_local! {
    static GIVEN: Cell<Option<Place>> = const { Cell::new(None) };
}

/// While it lives, spans that this thread starts get the ids of a place.
struct Given;

impl Given {
    fn set(place: Place) -> Self {
        GIVEN.set(Some(place));
        Self
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        GIVEN.set(None);
    }
}

/// Random ids, but for the spans that [`Place::start`] starts.
#[derive(Clone, Debug, Default)]
pub struct GivenIds {
    random: RandomIdGenerator,
}

impl IdGenerator for GivenIds {
    fn new_trace_id(&self) -> TraceId {
        GIVEN
            .get()
            .map_or_else(|| self.random.new_trace_id(), |place| place.trace_id)
    }

    fn new_span_id(&self) -> SpanId {
        GIVEN
            .get()
            .and_then(|place| place.span_id)
            .unwrap_or_else(|| self.random.new_span_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "018f3a5c-7c1e-7b7a-9c50-0123456789ab";

    #[test]
    fn a_uuid_and_its_hex_digits_are_the_same_trace() {
        let expected = "018f3a5c7c1e7b7a9c500123456789ab";
        assert_eq!(trace_id_of(TASK).to_string(), expected);
        assert_eq!(trace_id_of(expected).to_string(), expected);
    }

    #[test]
    fn any_other_name_is_a_valid_trace_that_stays_the_same() {
        assert_eq!(
            trace_id_of("support-42").to_string(),
            "e4b482d3b120568fbf133a2c9707acd1"
        );
        let nil = "00000000-0000-0000-0000-000000000000";
        assert_ne!(trace_id_of(nil), TraceId::INVALID);
        assert_ne!(trace_id_of(""), trace_id_of("support-42"));
    }

    #[test]
    fn a_span_is_named_by_its_id_or_by_a_uuid() {
        assert_eq!(span_id_of("00f067aa0ba902b7").to_string(), "00f067aa0ba902b7");
        assert_eq!(span_id_of(TASK).to_string(), "018f3a5c7c1e7b7a");
        assert_ne!(span_id_of("0000000000000000"), SpanId::INVALID);
        assert_ne!(span_id_of("00000000-0000-0000-0000-000000000000"), SpanId::INVALID);
        assert_ne!(span_id_of("task/1"), span_id_of("task/2"));
    }

    #[test]
    fn a_traceparent_is_written_as_it_was_read() {
        for header in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        ] {
            assert_eq!(format_traceparent(&parse_traceparent(header).unwrap()), header);
        }
    }

    #[test]
    fn a_newer_traceparent_is_read_as_far_as_it_is_known() {
        let newer = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-what-the-future-brings";
        let expected = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(format_traceparent(&parse_traceparent(newer).unwrap()), expected);
    }

    #[test]
    fn what_is_no_valid_traceparent_is_nothing() {
        for header in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-+0f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert_eq!(parse_traceparent(header), None, "{header}");
        }
    }
}

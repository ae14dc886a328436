use serde_json::{Value, json};
use steadfast_attachments::Checked;

use super::{testing::message, *};

fn stored(name: &str, declared: &str, bytes: &[u8]) -> Attachment {
    let checked = Checked::new(Kind::File, name, None, Some(declared), bytes.to_vec()).unwrap();
    let location = format!("i/n/t/{}", checked.sha256);
    checked.to_attachment(location)
}

fn sized(name: &str, size_bytes: usize) -> Attachment {
    Attachment {
        kind: Kind::File,
        name: name.to_owned(),
        media_type: "text/plain".to_owned(),
        detail: None,
        source: Source::Stored {
            sha256: name.to_owned(),
            size_bytes: size_bytes as u64,
            location: name.to_owned(),
        },
    }
}

fn linked(kind: Kind) -> Attachment {
    Attachment {
        kind,
        name: String::new(),
        media_type: String::new(),
        detail: None,
        source: Source::Url("https://example.com/a?sig=1".to_owned()),
    }
}

fn names<'a>(stored: &[StoredAttachment<'a>]) -> Vec<&'a str> {
    stored.iter().map(|stored| stored.attachment.name.as_str()).collect()
}

#[test]
fn the_newest_attachments_fit_into_a_request_and_each_is_read_once() {
    let third = MAX_REQUEST_ATTACHMENT_BYTES / 3;
    let messages: Vec<Segment> = (1..=4)
        .map(|turn| message(turn, "", vec![sized(&format!("of {turn}"), third), sized("same", 1)]))
        .collect();
    let transcript: Vec<&Segment> = messages.iter().collect();
    let stored = stored_attachments(&transcript, 4);
    assert_eq!(names(&stored), ["of 4", "same", "of 3", "of 2"]);
    assert_eq!(
        stored.iter().map(|stored| stored.is_needed).collect::<Vec<_>>(),
        [true, true, false, false]
    );
}

#[test]
fn what_a_summary_stands_for_is_not_read() {
    let (first, second) = (message(1, "", vec![sized("a", 1)]), message(2, "", vec![sized("b", 1)]));
    let summary: Segment = serde_json::from_value(json!({
        "turn": 1, "step": 1, "at": "2026-11-23T00:00:00Z", "kind": "summary", "generation": 1, "text": "s",
    }))
    .unwrap();
    assert_eq!(names(&stored_attachments(&[&first, &summary, &second], 2)), ["b"]);
}

fn written(sent: &Segment, attachments: &[Attachment], turn: u32, earlier: Earlier) -> (Value, bool) {
    let of = loaded(turn, ModelApi::Responses, attachments);
    let sent = Sent {
        turn: sent.turn,
        text: "See:",
        attachments,
    };
    let (parts, has_earlier) = parts(sent, &of, earlier, ModelApi::Responses);
    (json!(parts), has_earlier)
}

fn loaded(turn: u32, api: ModelApi, attachments: &[Attachment]) -> RequestAttachments {
    let mut of = RequestAttachments::of_turn(turn);
    for attachment in attachments {
        if let Source::Stored { sha256, location, .. } = &attachment.source {
            let stored = StoredAttachment {
                attachment,
                sha256,
                location,
                is_needed: true,
            };
            let bytes: &[u8] = if attachment.kind == Kind::Image { PNG } else { b"tea" };
            of.add(&stored, api, bytes);
        }
    }
    of
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

#[test]
fn the_answered_message_has_its_attachments_in_the_form_of_the_api() {
    let attachments = [
        stored("tea.png", "image/png", PNG),
        stored("a.txt", "text/plain", b"tea"),
        linked(Kind::Image),
        linked(Kind::File),
    ];
    let sent = message(3, "See:", attachments.to_vec());
    let (parts, has_earlier) = written(&sent, &attachments, 3, Earlier::Told);
    assert_eq!(
        parts,
        json!([
            {"type": "input_text", "text": "See:"},
            {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw0KGgo="},
            {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,dGVh"},
            {"type": "input_image", "detail": "auto", "image_url": "https://example.com/a?sig=1"},
            {"type": "input_file", "file_url": "https://example.com/a?sig=1"},
        ])
    );
    assert!(!has_earlier);
}

#[test]
fn earlier_attachments_are_sent_or_told_by_their_names() {
    let attachments = [stored("tea.png", "image/png", PNG), linked(Kind::Image)];
    let sent = message(1, "See:", attachments.to_vec());
    let (parts, has_earlier) = written(&sent, &attachments, 2, Earlier::Sent);
    assert_eq!((parts[1]["type"].as_str(), has_earlier), (Some("input_image"), true));
    let (parts, has_earlier) = written(&sent, &attachments, 2, Earlier::Told);
    let told = |what: &str| json!({"type": "input_text", "text": format!("[The user sent the {what} here, which you cannot see now.]")});
    assert_eq!(
        parts,
        json!([
            {"type": "input_text", "text": "See:"}, told("image tea.png"), told("image https://example.com/a"),
        ])
    );
    assert!(!has_earlier);
}

#[test]
fn chat_completions_reads_a_text_as_text_and_takes_no_file_by_url() {
    let attachments = [stored("a.txt", "text/plain", b"tea")];
    let of = loaded(1, ModelApi::ChatCompletions, &attachments);
    let sent = Sent {
        turn: 1,
        text: "",
        attachments: &attachments,
    };
    let (parts, _) = parts(sent, &of, Earlier::Sent, ModelApi::ChatCompletions);
    assert_eq!(parts, [Part::Text("The file a.txt:\n\ntea".into())]);
    let by_url = message(1, "", vec![linked(Kind::File)]);
    let failure = refuse_without_form(&[&by_url], 1, ModelApi::ChatCompletions).unwrap_err();
    assert_eq!(failure.category, UNSUPPORTED);
    assert_eq!(refuse_without_form(&[&by_url], 2, ModelApi::ChatCompletions), Ok(()));
    assert_eq!(refuse_without_form(&[&by_url], 1, ModelApi::Responses), Ok(()));
}

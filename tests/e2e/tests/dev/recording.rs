//! A recorded session at a real terminal: a tool call, an approval, an edit, the
//! loss of the worker in the middle of an answer, and a new start.
//!
//! `STEADFAST_RECORD=1 cargo xtask test --no-lint the_recorded_session` writes
//! `docs/recording.cast` (asciicast v2) and `docs/recording.svg`.

mod cast;
mod svg;
mod terminal;

use std::{fs, path::PathBuf};

use steadfast_testkit::tools::workspace;

use self::{cast::Cast, terminal::Terminal};
use super::desk::Desk;

const COLUMNS: usize = 96;
const ROWS: usize = 48;
/// Longer than the worker needs to start again, and slow enough that its loss falls into the middle.
const ANSWERS: &str = r#"{"fixtures": [
  {"match": {"userMessage": "kettles", "hasToolResult": false},
   "response": {"toolCalls": [{"name": "place_order", "arguments": {"item": "kettle", "quantity": 2}}]}},
  {"match": {"userMessage": "kettles", "hasToolResult": true}, "response": {"content": "Two kettles are ordered."}},
  {"match": {"userMessage": "descale"}, "chunkSize": 6, "latency": 150,
   "response": {"content": "Fill it half with water and half with vinegar, boil it, let it stand for an hour, and rinse it twice."}}
]}"#;

fn docs(file: &str) -> PathBuf {
    workspace::root().join("docs").join(file)
}

#[tokio::test]
async fn the_recorded_session_goes_on_after_the_worker_and_the_program_are_lost() {
    let desk = Desk::with_example("human-in-the-loop");
    fs::write(desk.agents().join("model/fixtures.json"), ANSWERS).unwrap();
    let mut terminal = Terminal::open(&desk, COLUMNS, ROWS);
    terminal.wait_for("$ ").await;
    terminal.type_line("steadfast dev .").await;
    // A tool call that a person approves.
    terminal.wait_for("Ctrl-D leaves").await;
    terminal.wait_for("> ").await;
    terminal.type_line("Order two kettles.").await;
    terminal.wait_for("approve? [y/n/later] ").await;
    terminal.type_line("y").await;
    terminal.wait_for("purchasing: Two kettles are ordered.").await;
    terminal.wait_for("> ").await;
    // Edit and save.
    let agent = fs::read_to_string(desk.agent_file()).unwrap();
    terminal.mark("agent.yaml is edited and saved");
    fs::write(desk.agent_file(), agent.replace("Be brief.", "Be brief and kind.")).unwrap();
    terminal.wait_for("purchasing: revision 2").await;
    // The worker is lost in the middle of an answer.
    terminal.type_line("How do I descale one?").await;
    terminal.wait_for("half with").await;
    terminal.mark("kill -9 of the worker");
    desk.kill_worker("purchasing");
    terminal.wait_for("the worker of purchasing ended").await;
    terminal.wait_for("rinse it twice.").await;
    terminal.wait_for("> ").await;
    // The program is ended, and continues the conversation.
    terminal.type_text("\u{3}").await;
    terminal.wait_for("$ ").await;
    terminal.type_line("steadfast dev .").await;
    terminal.wait_for("Two kettles are ordered.").await;
    terminal.wait_for("rinse it twice.").await;
    terminal.wait_for("> ").await;
    terminal.type_text("\u{4}").await;
    terminal.wait_for("$ ").await;
    let cast = terminal.close();
    assert_eq!(
        cast.text().matches("Order two kettles.").count(),
        2,
        "typed once, and shown once after the new start"
    );

    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    if std::env::var_os("STEADFAST_RECORD").is_some() {
        fs::write(docs("recording.cast"), cast.to_asciicast()).unwrap();
        fs::write(docs("recording.svg"), svg::render(&cast)).unwrap();
    }
}

#[test]
fn the_picture_is_that_of_the_recording() {
    let cast = Cast::parse(&fs::read_to_string(docs("recording.cast")).unwrap());
    assert!(
        fs::read_to_string(docs("recording.svg")).unwrap() == svg::render(&cast),
        "docs/recording.svg differs from docs/recording.cast: record both again"
    );
    for shown in [
        "call place_order",
        "approve? [y/n/later] y",
        "purchasing: revision 2",
        "the worker of purchasing ended",
        "rinse it twice.",
        "^C",
    ] {
        assert!(cast.text().contains(shown), "{shown}");
    }
}

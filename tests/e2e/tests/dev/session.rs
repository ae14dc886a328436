//! `steadfast dev` at a terminal, as people use it. One of the sessions is the
//! recording that the README shows.

use std::{fs, path::PathBuf};

use steadfast_testkit::tools::workspace;

use super::{desk::Desk, picture, recording::Recording, terminal::Terminal};

const COLUMNS: u16 = 96;
/// Said once by the model that stands in, and long enough to be interrupted.
const LAST_LINE: &str = "The books are straight, the kitchen clean.";

fn file_of_recording(name: &str) -> PathBuf {
    workspace::root().join("docs/recording").join(name)
}

/// A chat with an approval; an edit that is saved; a worker that is killed in the middle of an answer; Ctrl-C, and the
/// next start.
async fn hold_session() -> Recording {
    let desk = Desk::in_checkout("human-in-the-loop");
    let mut terminal = Terminal::open(desk.shell(), COLUMNS).await;
    terminal.types("cargo xtask dev examples/human-in-the-loop").await;
    terminal.shows("serving place_order").await;
    terminal.prompt(">").await;

    terminal.types("Order two kettles.").await;
    terminal.shows("purchasing wants to call place_order").await;
    terminal.prompt("approve? [y/n/later]").await;
    terminal.types("y").await;
    terminal.shows("(2 model calls, ").await;
    terminal.prompt(">").await;

    terminal.mark("agent.yaml is saved, with \"Answer in rhyme.\"");
    desk.edit_agent("Be brief.", "Be brief. Answer in rhyme.");
    terminal.shows("purchasing: revision 2").await;
    terminal.prompt(">").await;

    terminal.types("When do they come?").await;
    terminal.shows("purchasing: The kettles").await;
    terminal.mark("kill -9 of the worker");
    desk.kill_worker("purchasing");
    terminal.shows("the worker of purchasing ended").await;
    assert!(!terminal.shown().contains(LAST_LINE), "the answer was complete already");
    terminal.shows("(1 model call, ").await;
    assert!(terminal.shown().contains(LAST_LINE), "{}", terminal.shown());
    terminal.prompt(">").await;

    terminal.mark("Ctrl-C ends everything");
    terminal.ctrl_c();
    terminal.prompt("$").await;
    terminal.mark("the next start goes on");
    terminal.types("cargo xtask dev examples/human-in-the-loop").await;
    terminal.shows("(1 model call, ").await;
    terminal.shows("serving place_order").await;
    terminal.prompt(">").await;
    terminal.types("Thank you.").await;
    terminal.shows("(1 model call, ").await;
    terminal.prompt(">").await;
    terminal.ctrl_d();
    terminal.prompt("$").await;
    terminal.close().await
}

#[tokio::test]
async fn a_session_goes_on_through_an_edit_a_killed_worker_and_ctrl_c_as_it_was_recorded() {
    let recorded = Recording::parse(&fs::read_to_string(file_of_recording("dev.cast")).unwrap());
    assert_eq!(dialogue(&hold_session().await), dialogue(&recorded));
}

/// What the person and the agent said. Lines about the programs come when they come, and more of them on a slow machine.
fn dialogue(recording: &Recording) -> Vec<String> {
    let said = ["> ", "you: ", "purchasing: ", "╭", "│", "approve? "];
    let text = recording.text();
    let lines = text
        .lines()
        .filter(|line| said.iter().any(|start| line.starts_with(start)));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_picture_in_the_readme_shows_the_recording() {
    let recorded = Recording::parse(&fs::read_to_string(file_of_recording("dev.cast")).unwrap());
    let drawn = fs::read_to_string(file_of_recording("dev.svg")).unwrap();
    assert!(
        picture::draw(&recorded) == drawn,
        "docs/recording/dev.svg is not what docs/recording/dev.cast shows"
    );
    let readme = fs::read_to_string(workspace::root().join("README.md")).unwrap();
    assert!(readme.contains("(docs/recording/dev.svg)"));
}

/// Writes the recording and the picture.
#[tokio::test]
#[ignore = "changes docs/recording"]
async fn record() {
    let recording = hold_session().await;
    fs::create_dir_all(file_of_recording("")).unwrap();
    fs::write(file_of_recording("dev.cast"), recording.to_cast()).unwrap();
    fs::write(file_of_recording("dev.svg"), picture::draw(&recording)).unwrap();
}

#[tokio::test]
async fn lines_of_a_log_come_above_an_answer_that_grows() {
    let desk = Desk::in_checkout("human-in-the-loop");
    desk.describe_workers("workers: [{name: ticker, command: [sh, -c, 'while :; do echo tick; sleep 0.2; done']}]\n");
    // The answer has several rows.
    let mut terminal = Terminal::open(desk.shell(), 40).await;
    terminal.types("cargo xtask dev examples/human-in-the-loop").await;
    terminal.shows("[ticker] tick").await;
    terminal.prompt(">").await;
    terminal.types("Hello.").await;
    terminal.shows("(1 model call, ").await;
    let answer = "\npurchasing: I am a scripted model standing in for a real one. Ask me to order two kettles, or to close \
                  the account at the stationery supplier.\n";
    assert!(terminal.shown().contains(answer), "{}", terminal.shown());
    // Lines came while the answer grew.
    let output = terminal.recording().output();
    let (_, rest) = output.split_once("purchasing: \u{1b}[0mI am").unwrap();
    let (growing, _) = rest.split_once("supplier.").unwrap();
    assert!(growing.contains("[ticker] tick"), "{growing}");
    terminal.ctrl_c();
    terminal.prompt("$").await;
    terminal.close().await;
}

#[tokio::test]
async fn the_first_command_of_the_readme_runs_as_it_is_written() {
    let readme = fs::read_to_string(workspace::root().join("README.md")).unwrap();
    let command = readme
        .lines()
        .find(|line| line.starts_with("cargo xtask dev "))
        .unwrap();
    // In the checkout, but without the state and the keys of whoever works in it.
    let desk = Desk::empty();
    let mut shell = desk.shell();
    shell
        .current_dir(workspace::root())
        .env("STEADFAST_STATE_DIR", desk.state())
        .env("OPENAI_API_KEY", "");
    let mut terminal = Terminal::open(shell, COLUMNS).await;
    terminal.types(command).await;
    terminal.prompt(">").await;
    terminal.types("What is the weather like in Oslo?").await;
    terminal.shows("\nweather: It is").await;
    // The answer grows.
    let shown = terminal.shown();
    assert!(!shown.contains("underneath"), "{shown}");
    assert!(
        shown.contains("╭ call get_weather\n│ {\"city\":\"Oslo\"}\n╰\n"),
        "{shown}"
    );
    assert!(shown.contains("\"temperature_celsius\":7"), "{shown}");
    terminal.shows("and something warm to wear underneath it.\n").await;
    terminal.prompt(">").await;
    terminal.ctrl_d();
    terminal.prompt("$").await;
    terminal.close().await;
}

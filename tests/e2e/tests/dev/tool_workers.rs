//! Workers of tools in other languages.

use super::desk::Desk;

#[tokio::test]
async fn a_worker_in_python_is_started_shown_and_started_again_when_it_changes() {
    let desk = Desk::with_example("weather");
    let mut running = desk.start();
    let line = running.line_with("serving get_weather").await;
    assert!(line.starts_with("[weather-tools] "), "{line}");
    let worker = desk.agents().join("worker/worker.py");
    let text = std::fs::read_to_string(&worker).unwrap();
    std::fs::write(&worker, text.replace("serving get_weather", "now serving get_weather")).unwrap();
    running.line_with("weather-tools: changed, starts again").await;
    running.line_with("now serving get_weather").await;
    running.kill().await;

    let (answer, _) = desk.send("What is the weather like in Oslo?").await;
    assert!(answer.contains("\"temperature_celsius\":7"), "{answer}");
    assert!(answer.contains("weather: It is 7 °C in Oslo"), "{answer}");
}

#[tokio::test]
async fn a_tool_that_nobody_serves_is_named_with_the_command_that_would_serve_it() {
    let desk = Desk::with_example("weather");
    std::fs::remove_file(desk.agents().join("worker/dev.yaml")).unwrap();
    let mut running = desk.start();
    let temporal = running.line_with("Temporal     127.0.0.1:").await;
    let address = temporal.split_whitespace().last().unwrap().to_owned();
    let line = running.line_with("nobody serves").await;
    assert!(
        line.starts_with("get-weather: nobody serves the task queue weather-tools, so calls wait."),
        "{line}"
    );
    assert!(
        line.contains(&format!("TEMPORAL_ADDRESS={address} TEMPORAL_NAMESPACE=default")),
        "{line}"
    );
    assert!(line.contains("worker/dev.yaml"), "{line}");
}

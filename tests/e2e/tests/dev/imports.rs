//! Imported manifests run: each Agent answers, with the stand-in in place of its
//! model.

use std::path::PathBuf;

use steadfast_testkit::tools::workspace;

use super::desk::{Desk, run};

/// Manifests that are shaped like public ones.
fn testdata(project: &str, names: &[&str]) -> Vec<PathBuf> {
    let directory = workspace::root().join("cli/src/import/testdata").join(project);
    names
        .iter()
        .map(|name| directory.join(format!("{name}.yaml")))
        .collect()
}

/// Imports the files, and talks to each of the agents.
async fn import_and_talk(project: &str, files: &[&str], agents: &[&str], namespace: &str) {
    let desk = Desk::empty();
    let mut command = desk.command("import");
    command
        .arg(project)
        .args(testdata(project, files))
        .args(["--to", "agents/agents.yaml"]);
    let (_, report, success) = run(&mut command).await;
    assert!(success && report.contains(" fields carried over, "), "{report}");
    let tests = desk.agents().join("tests");
    std::fs::create_dir(&tests).unwrap();
    for agent in agents {
        let script = format!(
            "agent: {agent}\nturns:\n- message: Are you {agent}?\n  answer: {{contains: [Are you {agent}?]}}\n"
        );
        std::fs::write(tests.join(format!("{agent}.yaml")), script).unwrap();
    }
    // Credentials of tools; the key of the model is not needed.
    std::fs::write(
        desk.agents().parent().unwrap().join(".env"),
        "PROXY_TOKEN=x\nFETCHER_TOKEN_TOKEN=x\n",
    )
    .unwrap();
    let (output, status, success) = desk.test(&["--stand-in", "--namespace", namespace]).await;
    assert!(success, "{output}\n{status}");
    assert!(
        output.ends_with(&format!("{} passed, 0 failed\n", agents.len())),
        "{output}"
    );
}

#[tokio::test]
async fn imported_agents_of_kagent_answer() {
    import_and_talk(
        "kagent",
        &["cluster-helper", "query-writer", "through-a-gateway", "deployed-server"],
        &["cluster-helper", "query-writer", "gateway-assistant", "reader"],
        "kagent",
    )
    .await;
    import_and_talk("kagent", &["coordinator"], &["coordinator", "specialist"], "team").await;
}

#[tokio::test]
async fn imported_agents_of_agentex_answer() {
    import_and_talk(
        "agentex",
        &["hello", "tools", "claude", "sync-proxy", "templated"],
        &["hello", "at-070-tools", "claude-desk", "sync-proxy", "lives"],
        "default",
    )
    .await;
}

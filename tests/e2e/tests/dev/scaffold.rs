//! `steadfast init` makes what `steadfast test` passes.

use super::desk::{Desk, run};

#[tokio::test]
async fn a_new_agent_passes_its_test_and_a_wrong_expectation_fails_it() {
    let desk = Desk::empty();
    let (said, _, success) = run(desk.command("init").args(["agents", "--name", "dice"])).await;
    assert!(success && said.contains("steadfast dev agents"), "{said}");
    let (output, status, success) = desk.test(&[]).await;
    assert!(success, "{output}\n{status}");
    assert!(output.starts_with("ok      rolls-dice (dice, "), "{output}");
    assert!(output.ends_with("1 passed, 0 failed\n"), "{output}");

    let script = desk.agents().join("tests/rolls-dice.yaml");
    let text = std::fs::read_to_string(&script).unwrap();
    std::fs::write(&script, text.replace("count: 2", "count: 3")).unwrap();
    let (output, _, success) = desk.test(&["-o", "junit"]).await;
    assert!(!success, "{output}");
    assert!(
        output.contains("<testcase classname=\"dice\" name=\"rolls-dice\"")
            && output.contains("turn 1: the arguments of roll_dice are"),
        "{output}"
    );
}

#[tokio::test]
async fn a_script_decides_approvals() {
    let desk = Desk::with_example("human-in-the-loop");
    let tests = desk.agents().join("tests");
    std::fs::create_dir(&tests).unwrap();
    let script = |name: &str, approvals: &str, rest: &str| {
        let text = format!("turns:\n- message: Order two kettles.\n  approvals: {approvals}\n{rest}");
        std::fs::write(tests.join(name), text).unwrap();
    };
    script(
        "approved.yaml",
        "[{tool: place_order, decision: approve}]",
        "  calls: [{tool: place_order, arguments: {item: kettle, quantity: 2}}]\n",
    );
    script("surprised.yaml", "[]", "");
    let (output, status, success) = desk.test(&[]).await;
    assert!(!success, "{output}\n{status}");
    assert!(output.contains("ok      approved (purchasing, "), "{output}\n{status}");
    assert!(output.contains("FAILED  surprised (purchasing, "), "{output}");
    assert!(
        output.contains("place_order asked for an approval that the script does not have"),
        "{output}"
    );
    assert!(output.ends_with("1 passed, 1 failed\n"), "{output}");
}

//! Images and files in messages: from the client to the model and back.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use steadfast_e2e::backend::stack::{python, shared_stack};
use steadfast_testkit::{
    scripted_model::{Gate, ModelRequest, Reply, Text},
    stack::{AgentSetup, TIMEOUT, run_script},
};

/// Bytes that begin as a PNG and that nothing compresses away.
fn image(seed: u8, bytes: usize) -> Vec<u8> {
    let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut block = Sha256::digest([seed]);
    while image.len() < bytes {
        image.extend(block);
        block = Sha256::digest(block);
    }
    image
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The parts of the last message of the user.
fn parts(request: &ModelRequest) -> Vec<Value> {
    let last = request
        .input()
        .iter()
        .rev()
        .find(|item| item["role"] == "user")
        .unwrap();
    match &last["content"] {
        Value::Array(parts) => parts.clone(),
        text => vec![json!({"type": "input_text", "text": text})],
    }
}

/// Says which parts it got: of those with bytes, the SHA-256.
fn describe(part: &Value) -> String {
    let place = ["image_url", "file_data", "file_url"]
        .iter()
        .find_map(|name| part[name].as_str());
    let kind = part["type"].as_str().unwrap();
    match place.and_then(|place| place.split_once(";base64,")) {
        Some((head, data)) => format!("{kind} {head} {}", sha256(&BASE64_STANDARD.decode(data).unwrap())),
        None => format!("{kind} {}", place.or(part["text"].as_str()).unwrap_or_default()),
    }
}

#[tokio::test]
async fn what_a_client_of_openai_sends_reaches_the_model_and_can_be_read_back() {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("attachments", move |request| {
        let got: Vec<String> = parts(request).iter().map(describe).collect();
        let answer = Text::whole(got.join("\n"));
        if request.number == 1 {
            return Reply::text("One moment.").and_hold(&held).and_text(answer);
        }
        Reply::text(answer)
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let url = shared_stack().await.url();
    // Within the limit for an argument of a program.
    let image = image(1, 90_000);
    let script = python("openai_attachments.py");
    let (name, base64) = (agent.name(), BASE64_STANDARD.encode(&image));
    let arguments = [url.as_str(), &name, &base64];
    let (output, ()) = tokio::join!(run_script::<Value>(&script, &arguments), async {
        // The worker is killed in the middle of the first answer.
        gate.reached(TIMEOUT).await.unwrap();
        agent.worker().restart().await.unwrap();
        gate.open();
    });
    let output = output.unwrap();

    let (png, csv) = (sha256(&image), sha256(b"tea,3\n"));
    let linked = "https://example.com/tea.png?sig=1";
    let sent = format!(
        "input_text See:\ninput_image data:image/png {png}\ninput_file data:text/csv {csv}\ninput_image {linked}"
    );
    let response = &output["response"];
    assert_eq!(response["text"], json!(sent), "{output}");
    // The message before is sent again, with what it brought along.
    let journal = agent.model().journal();
    let first = &journal[0].request.input()[0];
    let later = journal.iter().map(|call| call.request.input());
    let later = later
        .rev()
        .find(|input| input.last().is_some_and(|item| item["content"] == "And now?"));
    assert_eq!(&later.unwrap()[0], first);
    assert_eq!(
        (
            &response["kinds"],
            &response["detail"],
            &response["linked"],
            &response["sha256"],
            &response["file"]
        ),
        (
            &json!(["input_text", "input_image", "input_file", "input_image"]),
            &json!("high"),
            &json!(linked),
            &json!(png),
            &json!(["table.csv", 6]),
        )
    );
    assert_eq!(
        (&response["disposition"], &response["nosniff"], &response["type"]),
        (&json!("attachment"), &json!("nosniff"), &json!("image/png"))
    );
    let text = sha256(b"hi");
    assert_eq!(
        output["chat"],
        json!(format!(
            "input_text Chat:\ninput_image data:image/png {png}\ninput_file data:text/plain {text}"
        ))
    );
    let refused = |status: u16, code: &str| json!([status, code, "input"]);
    assert_eq!(
        output["refused"],
        json!({
            "large": refused(413, "attachment_too_large"),
            "larger_than_a_body": [413, "invalid_request_error", null],
            "archive": refused(415, "unsupported_media_type"),
            "audio": refused(400, "invalid_request_error"),
            "mismatch": refused(415, "unsupported_media_type"),
            "many": refused(400, "too_many_attachments"),
            "inside": refused(400, "invalid_attachment"),
            "file_id": refused(400, "invalid_request_error"),
        })
    );
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn history_and_messages_have_references_and_erasing_the_task_erases_the_bytes() {
    let setup = AgentSetup::new("references", |request| Reply::text(describe(&parts(request)[0])));
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let client = agent.client();
    // Larger than everything else in the history of a short task.
    let image = image(2, 2_000_000);
    let path = format!("/tasks/{}/attachments", task.id());
    let upload = format!("{path}?name=tea.png");
    let uploaded = client.post_as("image/png", &upload, image.clone()).await.unwrap();
    let uploaded = uploaded.success().unwrap();
    let id = sha256(&image);
    assert_eq!(
        uploaded,
        json!({"file_id": id, "name": "tea.png", "size": image.len(), "type": "image/png"})
    );
    // Whoever knows the id of an upload reads nothing, before a message has it.
    let download = format!("{path}/{id}");
    assert_eq!(client.get(&download).await.unwrap().status, 404);

    let content = json!({"type": "text", "author": "user", "content": "", "attachments": [uploaded]});
    task.rpc("event/send", json!({ "content": content }), None)
        .await
        .unwrap()
        .rpc_result()
        .unwrap();
    task.turn_completed(1).await.unwrap();
    let messages = task.messages().await.unwrap();
    let of_user = messages
        .iter()
        .find(|message| message["content"]["author"] == "user")
        .unwrap();
    assert_eq!(of_user["content"]["attachments"], json!([uploaded]));
    let of_agent = messages
        .iter()
        .find(|message| message["content"]["author"] == "agent")
        .unwrap();
    assert_eq!(
        of_agent["content"]["content"],
        json!(format!("input_image data:image/png {id}"))
    );
    assert_eq!(client.get(&download).await.unwrap().status, 200);

    let history = shared_stack().await.temporal().history(task.id(), None).await.unwrap();
    let history = json!(history).to_string();
    assert!(history.len() < image.len(), "the history has {} bytes", history.len());

    let stored = shared_stack()
        .await
        .attachments()
        .join(format!("e2e/default/{}", task.id()));
    assert!(stored.join(&id).exists());
    client
        .delete(&format!("/tasks/{}", task.id()))
        .await
        .unwrap()
        .success()
        .unwrap();
    assert!(!stored.exists());
    // Temporal deletes the history after its answer: until then the messages still name what is gone.
    let status = client.get(&download).await.unwrap().status;
    assert!(status == 404 || status == 410, "{status}");
}

#[tokio::test]
async fn a_model_without_images_ends_the_turn_with_the_reason_and_no_later_turn() {
    let has_image = |request: &ModelRequest| json!(request.input()).to_string().contains("input_image");
    let setup = AgentSetup::new("blind", move |request| {
        if has_image(request) {
            let reason = "Invalid content type. image_url is only supported by certain models.";
            return Reply::error(400, "invalid_request_error", reason);
        }
        Reply::text(json!(request.input()[0]["content"]).to_string())
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let image = json!({"name": "tea.png", "type": "image/png", "data": BASE64_STANDARD.encode(image(3, 1_000))});
    let content = json!({"type": "text", "author": "user", "content": "What is it?", "attachments": [image]});
    task.rpc("event/send", json!({ "content": content }), None)
        .await
        .unwrap()
        .rpc_result()
        .unwrap();
    let end = task.turn_ended(1).await.unwrap();
    let error = end.error.unwrap();
    assert_eq!(error.category, "attachment_unsupported");
    assert!(error.message.contains("does not take images"), "{}", error.message);
    // Nothing of the kind is tried again.
    assert_eq!(agent.model().journal().len(), 1);

    task.complete_turn(2, "Never mind.").await.unwrap();
    let messages = task.messages().await.unwrap();
    let told = messages
        .iter()
        .filter(|message| message["content"]["author"] == "agent");
    let told: Vec<&str> = told
        .filter_map(|message| message["content"]["content"].as_str())
        .collect();
    assert!(told[0].contains("The user sent the image tea.png here"), "{told:?}");
}

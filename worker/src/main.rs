//! The worker program.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    steadfast_worker::Worker::builder().run().await
}

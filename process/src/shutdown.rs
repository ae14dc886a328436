//! Turns SIGTERM and SIGINT into a cancelled token. Each program decides how it stops: it drains, it
//! passes its work on, or it closes streams.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code after a second signal: 128 + SIGINT, as shells report it.
const FORCED_EXIT_CODE: i32 = 130;

/// A token that is cancelled by the first SIGTERM or SIGINT. A second signal
/// ends the process at once, for a person whose program does not stop.
///
/// Must be called inside a tokio runtime.
pub fn on_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let name = first_of(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "stopping");
        cancelled.cancel();
        let name = first_of(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal = name, "second signal: leaving without waiting");
        leave();
    });
    Ok(token)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the person asked twice: what is not flushed by now is given up"
)]
fn leave() -> ! {
    std::process::exit(FORCED_EXIT_CODE)
}

async fn first_of(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

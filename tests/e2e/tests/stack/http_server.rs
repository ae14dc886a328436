//! HTTP servers for tools, hooks and collectors.

use axum::Router;
use tokio::net::TcpListener;

/// Serves the router on a free port of 127.0.0.1 until the test's runtime ends.
/// Returns `http://127.0.0.1:<port>`.
pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

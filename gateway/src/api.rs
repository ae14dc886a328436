//! The routes, and the layers around them: authentication, metrics, and errors for requests
//! that no handler takes.

mod acknowledgement;
mod agents;
mod approvals;
mod extractors;
mod health;
mod messages;
mod paging;
mod rpc;
mod stream;
mod tasks;

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

use self::rpc::RpcMethod;
use crate::{app::Gateway, error::ApiError};

/// The label of requests that match no route.
const NO_ROUTE: &str = "none";

/// All routes of a gateway.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let guarded = Router::new()
        .route("/agents", get(agents::list))
        .route("/agents/{agent_id}", get(agents::by_id))
        .route("/agents/name/{agent_name}", get(agents::by_name))
        .route("/agents/{agent_id}/rpc", post(rpc::by_id))
        .route("/agents/name/{agent_name}/rpc", post(rpc::by_name))
        .route("/tasks", get(tasks::list))
        .route("/tasks/{task_id}", get(tasks::by_id))
        .route("/tasks/name/{task_name}", get(tasks::by_name))
        .route("/tasks/{task_id}/cancel", post(tasks::cancel))
        .route("/tasks/{task_id}/complete", post(tasks::complete))
        .route("/tasks/{task_id}/interrupt", post(tasks::interrupt))
        .route("/tasks/{task_id}/stream", get(stream::by_id))
        .route("/tasks/name/{task_name}/stream", get(stream::by_name))
        .route("/approvals", get(approvals::list))
        .route("/approvals/{approval_id}", get(approvals::by_id))
        .route("/approvals/{approval_id}/approve", post(approvals::approve))
        .route("/approvals/{approval_id}/reject", post(approvals::reject))
        .route("/messages", get(messages::list))
        .route("/messages/{message_id}", get(messages::by_id))
        .layer(middleware::from_fn_with_state(gateway.clone(), authenticate));
    let open = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/openapi.json", get(health::openapi));
    guarded
        .merge(open)
        .fallback(|method: Method, request: Request| async move {
            ApiError::new(
                StatusCode::NOT_FOUND,
                format!("there is no {method} {}", request.uri().path()),
            )
        })
        .method_not_allowed_fallback(|method: Method| async move {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed here"))
        })
        // `BoundedBody` has the limit, with an error that clients understand.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            ApiError::internal("the gateway failed", "a handler panicked").into_response()
        }))
        .layer(middleware::from_fn_with_state(gateway.clone(), measure))
        .with_state(gateway)
}

async fn authenticate(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    match gateway.access.authenticate(request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// Counts and times requests by route.
async fn measure(
    State(gateway): State<Arc<Gateway>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let begin = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let rpc_method = response.extensions().get::<RpcMethod>().map_or("", |method| method.0);
    gateway
        .metrics
        .request_ended(route, rpc_method, response.status(), begin.elapsed());
    response
}

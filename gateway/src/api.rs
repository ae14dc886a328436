//! The routes, and the layers around them: authentication, metrics, and errors for requests
//! that no handler takes.
#![expect(unused_qualifications, reason = "utoipa's macros qualify the types of parameters")]

mod a2a;
mod agents;
mod approvals;
mod attachments;
mod codec;
mod events;
mod extractors;
mod fleet;
mod health;
mod keep_alive;
mod messages;
mod observability;
mod openai;
mod openapi;
mod paging;
mod request_id;
mod rpc;
mod server_sent_events;
mod sign_in;
mod stream;
mod tasks;
mod turn;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request, State},
    http::{Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::codec::codec_routes;
pub(crate) use self::request_id::REQUEST_ID;
use self::{
    request_id::{RequestId, identify},
    rpc::RpcMethod,
};
use crate::{
    agentex::without_counterpart::without_counterpart,
    api_docs,
    app::Gateway,
    audit::{self, Trail},
    error::ApiError,
};

/// The label of requests that match no route.
const NO_ROUTE: &str = "none";

/// All routes of a gateway.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let (guarded, _) = guarded().split_for_parts();
    let (open, _) = open().split_for_parts();
    let document = Bytes::from(openapi::document().to_json().unwrap_or_default());
    let open = open.route(
        "/openapi.json",
        get(async move || ([(header::CONTENT_TYPE, "application/json")], document)),
    );
    let open = open.merge(api_docs::routes());
    let guarded = guarded
        // Some clients add a slash, and there is one answer to whatever is asked about push notifications.
        .route("/a2a/{namespace}/{agent}/", post(a2a::rpc::call))
        .route(
            "/a2a/{namespace}/{agent}/tasks/{task}/pushNotificationConfigs/{config}",
            get(a2a::http_json::push).delete(a2a::http_json::push),
        );
    let guarded = guarded.layer(middleware::from_fn_with_state(gateway.clone(), authenticate));
    guarded
        .merge(open)
        .fallback(|method: Method, request: Request| async move {
            let path = request.uri().path();
            unserved(&method, path, StatusCode::BAD_REQUEST)
                .unwrap_or_else(|| ApiError::new(StatusCode::NOT_FOUND, format!("there is no {method} {path}")))
        })
        .method_not_allowed_fallback(|method: Method, request: Request| async move {
            unserved(&method, request.uri().path(), StatusCode::METHOD_NOT_ALLOWED).unwrap_or_else(|| {
                ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed here"))
            })
        })
        // `UnreadBody` has the limit, with an error that clients understand.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            // Whatever was asked for may have been done.
            ApiError::internal("the gateway failed", "a handler panicked")
                .retryable(false)
                .into_response()
        }))
        .layer(middleware::from_fn(refuse_unreadable_path))
        .layer(middleware::from_fn(openai::envelope))
        .layer(middleware::from_fn(a2a::envelope))
        .layer(middleware::from_fn_with_state(gateway.clone(), measure))
        .layer(middleware::from_fn(identify))
        .with_state(gateway)
}

/// Refuses a path that is no text: no handler could read it.
async fn refuse_unreadable_path(request: Request, next: Next) -> Response {
    if percent_decode_str(request.uri().path()).decode_utf8().is_ok() {
        return next.run(request).await;
    }
    let error = ApiError::bad_request("the path of the request is not UTF-8 after its percent-encoding was decoded");
    error.into_response()
}

/// What OpenAI or Agentex serves and Steadfast does not. Clients repeat 409 and 5xx, and a 404 would read as "deleted".
fn unserved(method: &Method, path: &str, status: StatusCode) -> Option<ApiError> {
    if let Some(mut error) = openai::agents::unserved(method, path) {
        error.status = status;
        return Some(error);
    }
    let instead = without_counterpart(method, path)?;
    Some(ApiError::new(status, format!("not supported by Steadfast: {instead}")))
}

/// The routes that need an authenticated caller.
fn guarded() -> OpenApiRouter<Arc<Gateway>> {
    OpenApiRouter::new()
        .routes(routes!(agents::list))
        .routes(routes!(agents::by_id))
        .routes(routes!(agents::by_name))
        .routes(routes!(fleet::get))
        .routes(routes!(rpc::by_id))
        .routes(routes!(rpc::by_name))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::by_id, tasks::metadata::by_id, tasks::erase::by_id))
        .routes(routes!(tasks::by_name, tasks::metadata::by_name, tasks::erase::by_name))
        .routes(routes!(tasks::lifecycle::cancel))
        .routes(routes!(tasks::lifecycle::complete))
        .routes(routes!(tasks::lifecycle::interrupt))
        .routes(routes!(tasks::lifecycle::terminate))
        .routes(routes!(tasks::query::query))
        .routes(routes!(tasks::export::export))
        .routes(routes!(attachments::upload))
        .routes(routes!(attachments::download))
        .routes(routes!(observability::by_id))
        .routes(routes!(stream::by_id))
        .routes(routes!(stream::by_name))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::by_id))
        .routes(routes!(approvals::decide::approve))
        .routes(routes!(approvals::decide::reject))
        .routes(routes!(events::list))
        .routes(routes!(events::by_id))
        .routes(routes!(messages::list))
        .routes(routes!(messages::paginated))
        .routes(routes!(messages::by_id))
        .routes(routes!(openai::models::list))
        .routes(routes!(openai::models::by_name))
        .routes(routes!(openai::responses::create))
        .routes(routes!(openai::responses::by_id, openai::responses::delete))
        .routes(routes!(openai::responses::cancel))
        .routes(routes!(openai::responses::input_items))
        .routes(routes!(openai::chat::create))
        .routes(routes!(openai::conversations::create))
        .routes(routes!(
            openai::conversations::by_id,
            openai::conversations::update,
            openai::conversations::delete
        ))
        .routes(routes!(openai::conversations::items))
        .routes(routes!(openai::conversations::item))
        .routes(routes!(openai::files::by_id))
        .routes(routes!(openai::files::content))
        .routes(routes!(openai::agents::list, openai::agents::create))
        .routes(routes!(
            openai::agents::by_id,
            openai::agents::update,
            openai::agents::delete
        ))
        .routes(routes!(openai::sessions::list, openai::sessions::create))
        .routes(routes!(
            openai::sessions::by_id,
            openai::sessions::update,
            openai::sessions::delete
        ))
        .routes(routes!(openai::sessions::events::stream, openai::sessions::input::send))
        .routes(routes!(openai::sessions::items))
        .routes(routes!(openai::sessions::turns))
        .routes(routes!(openai::sessions::turn))
        .routes(routes!(openai::sessions::turn_items))
        .routes(routes!(openai::sessions::parts))
        .routes(routes!(a2a::card::get))
        .routes(routes!(a2a::rpc::call))
        .routes(routes!(a2a::http_json::message))
        .routes(routes!(a2a::http_json::list))
        .routes(routes!(a2a::http_json::task, a2a::http_json::act))
        .routes(routes!(a2a::http_json::push, a2a::http_json::push_configs))
        .routes(routes!(a2a::http_json::extended_card))
}

/// The routes for everybody.
fn open() -> OpenApiRouter<Arc<Gateway>> {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(sign_in::ways))
}

/// Lets a request on when its caller is known and has not sent too many, and writes down what became of it.
async fn authenticate(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(address)| address.ip());
    let presented = match gateway.access.presented(&request) {
        Ok(presented) => presented,
        Err(error) => return error.into_response(),
    };
    let session = match gateway.access.authenticate(presented).await {
        Ok(session) => session,
        Err(error) => return error.into_response(),
    };
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let request_id = request.extensions().get::<RequestId>().cloned();
    let (response, trail) = match gateway.load.rates.request(&session.caller).await {
        Ok(()) => {
            request.extensions_mut().insert(session.caller.clone());
            request.extensions_mut().insert(session.clone());
            audit::trailed(next.run(request)).await
        }
        Err(limited) => {
            let is_first = limited.is_first;
            let response = limited.error.into_response();
            if !is_first {
                // One line for all requests that are refused in a row: a flood of requests must not flood the log.
                return response;
            }
            (response, Trail::default())
        }
    };
    audit::log(
        &audit::Request {
            actor: session.actor(),
            method: &method,
            route: route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str),
            rpc_method: rpc_method(&response),
            status: response.status(),
            id: request_id.as_ref().map_or("", RequestId::as_str),
            peer,
        },
        &trail,
    );
    response
}

fn rpc_method(response: &Response) -> &'static str {
    response.extensions().get::<RpcMethod>().map_or("", |method| method.0)
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
    gateway
        .metrics
        .request_ended(route, rpc_method(&response), response.status(), begin.elapsed());
    response
}

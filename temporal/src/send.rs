//! Requests on the raw service of a connection, which the SDK does not repeat.

use futures::future::BoxFuture;
use steadfast_process::error_chain::causes;
use temporalio_client::{
    Connection,
    grpc::WorkflowService,
    tonic::{Request, Response, Status},
};

/// One method of the raw service, for instance `<dyn WorkflowService>::list_schedules`.
pub type Method<Q, A> =
    for<'a> fn(&'a mut (dyn WorkflowService + 'static), Request<Q>) -> BoxFuture<'a, Result<Response<A>, Status>>;

/// Sends a request.
///
/// Temporal closes each connection after a while (`frontend.keepAliveMaxConnectionAge`, 5 minutes unless it is set).
/// A request that met the end of its connection was not sent: it is sent once more, on the next connection.
pub async fn send<Q: Clone, A>(connection: &Connection, request: Q, method: Method<Q, A>) -> Result<A, Status> {
    let mut service = connection.workflow_service();
    let answer = match method(service.as_mut(), Request::new(request.clone())).await {
        Err(status) if was_not_sent(&status) => method(service.as_mut(), Request::new(request)).await,
        answer => answer,
    };
    answer.map(Response::into_inner)
}

/// Whether a request has not left this process, because its connection had ended.
fn was_not_sent(status: &Status) -> bool {
    causes(status).any(|cause| {
        cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_canceled)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_met_the_end_of_its_connection_was_not_sent() {
        let (io, _other_end) = tokio::io::duplex(64);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(io))
            .await
            .unwrap();
        drop(connection);
        let error = sender
            .send_request(hyper::Request::new(String::new()))
            .await
            .unwrap_err();
        assert!(was_not_sent(&Status::from_error(Box::new(error))));
        for status in [Status::cancelled("by the server"), Status::unavailable("for a while")] {
            assert!(!was_not_sent(&status), "{status:?}");
        }
    }
}

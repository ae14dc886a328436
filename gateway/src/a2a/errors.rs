//! Errors in the words of A2A's bindings: a JSON-RPC error, and `google.rpc.Status` as JSON. Both have an `ErrorInfo`
//! with the reason. Pure.
//! Source: A2A 1.0, sections 3.3.2, 5.4, 9.5 and 11.6.

use a2a_types::{
    FieldViolation, JsonRpcError, TypedDetail, error_code, errordetails::PROTOCOL_DOMAIN, reason_to_error_code,
};
use axum::http::StatusCode;
use serde_json::{Value, json};

/// Whose reasons those are that A2A does not define.
const OWN_DOMAIN: &str = "steadfast.dev";
/// JSON-RPC leaves -32000 to -32099 to servers, and A2A takes those from -32001 on.
const SERVER_ERROR: i32 = -32000;

pub(crate) const TASK_NOT_FOUND: &str = "TASK_NOT_FOUND";
pub(crate) const TASK_NOT_CANCELABLE: &str = "TASK_NOT_CANCELABLE";
pub(crate) const PUSH_NOTIFICATION_NOT_SUPPORTED: &str = "PUSH_NOTIFICATION_NOT_SUPPORTED";
pub(crate) const UNSUPPORTED_OPERATION: &str = "UNSUPPORTED_OPERATION";
pub(crate) const CONTENT_TYPE_NOT_SUPPORTED: &str = "CONTENT_TYPE_NOT_SUPPORTED";
pub(crate) const VERSION_NOT_SUPPORTED: &str = "VERSION_NOT_SUPPORTED";
pub(crate) const METHOD_NOT_FOUND: &str = "METHOD_NOT_FOUND";
pub(crate) const INVALID_REQUEST: &str = "INVALID_REQUEST";
pub(crate) const PARSE_ERROR: &str = "PARSE_ERROR";

/// An error as both bindings need it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Described<'a> {
    status: StatusCode,
    message: &'a str,
    /// A reason that A2A defines.
    reason: Option<&'static str>,
    /// The field that is wrong.
    field: Option<&'static str>,
}

impl<'a> Described<'a> {
    pub(crate) fn new(
        status: StatusCode,
        message: &'a str,
        reason: Option<&'static str>,
        field: Option<&'static str>,
    ) -> Self {
        Self {
            status,
            message,
            reason: reason.filter(|reason| reason_to_error_code(reason).is_some()),
            field,
        }
    }

    /// The error object of JSON-RPC.
    pub(crate) fn of_rpc(&self) -> JsonRpcError {
        JsonRpcError {
            code: self.rpc_code(),
            message: self.message.to_owned(),
            data: Some(self.details()),
        }
    }

    /// The body of HTTP+JSON.
    pub(crate) fn of_http(&self) -> Value {
        json!({"error": {
            "code": self.status.as_u16(), "status": self.grpc_status(), "message": self.message,
            "details": self.details(),
        }})
    }

    fn rpc_code(&self) -> i32 {
        if let Some(code) = self.reason.and_then(reason_to_error_code) {
            return code;
        }
        match self.status.as_u16() {
            400 | 404 | 413 | 415 | 422 => error_code::INVALID_PARAMS,
            401 | 403 | 408 | 409 | 410 | 429 => SERVER_ERROR,
            _ => error_code::INTERNAL_ERROR,
        }
    }

    fn grpc_status(&self) -> &'static str {
        match (self.reason, self.status.as_u16()) {
            (
                Some(
                    TASK_NOT_CANCELABLE
                    | PUSH_NOTIFICATION_NOT_SUPPORTED
                    | UNSUPPORTED_OPERATION
                    | VERSION_NOT_SUPPORTED,
                ),
                _,
            )
            | (None, 409) => "FAILED_PRECONDITION",
            (_, 400 | 413 | 415 | 422) => "INVALID_ARGUMENT",
            (_, 401) => "UNAUTHENTICATED",
            (_, 403) => "PERMISSION_DENIED",
            (_, 404 | 410) => "NOT_FOUND",
            (_, 405 | 501) => "UNIMPLEMENTED",
            (_, 408) => "DEADLINE_EXCEEDED",
            (_, 429) => "RESOURCE_EXHAUSTED",
            (_, 424 | 503) => "UNAVAILABLE",
            _ => "INTERNAL",
        }
    }

    fn details(&self) -> Value {
        let info = match self.reason {
            Some(reason) => TypedDetail::error_info(reason, PROTOCOL_DOMAIN, None),
            None => TypedDetail::error_info(self.grpc_status(), OWN_DOMAIN, None),
        };
        let field = self.field.map(|field| {
            TypedDetail::bad_request(vec![FieldViolation {
                field: field.to_owned(),
                description: self.message.to_owned(),
            }])
        });
        json!([Some(info), field].into_iter().flatten().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_the_specification_have_its_codes() {
        for (reason, status, rpc, grpc) in [
            (TASK_NOT_FOUND, 404, -32001, "NOT_FOUND"),
            (TASK_NOT_CANCELABLE, 400, -32002, "FAILED_PRECONDITION"),
            (PUSH_NOTIFICATION_NOT_SUPPORTED, 400, -32003, "FAILED_PRECONDITION"),
            (UNSUPPORTED_OPERATION, 400, -32004, "FAILED_PRECONDITION"),
            (CONTENT_TYPE_NOT_SUPPORTED, 400, -32005, "INVALID_ARGUMENT"),
            (VERSION_NOT_SUPPORTED, 400, -32009, "FAILED_PRECONDITION"),
            (METHOD_NOT_FOUND, 404, -32601, "NOT_FOUND"),
            (INVALID_REQUEST, 400, -32600, "INVALID_ARGUMENT"),
            (PARSE_ERROR, 400, -32700, "INVALID_ARGUMENT"),
        ] {
            let error = Described::new(StatusCode::from_u16(status).unwrap(), "why", Some(reason), None);
            let info = json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "a2a-protocol.org",
            }]);
            let of_rpc = error.of_rpc();
            assert_eq!((of_rpc.code, of_rpc.data), (rpc, Some(info.clone())), "{reason}");
            assert_eq!(
                error.of_http(),
                json!({"error": {"code": status, "status": grpc, "message": "why", "details": info}})
            );
        }
    }

    #[test]
    fn a_wrong_field_is_named_and_other_errors_have_reasons_of_our_own() {
        let invalid = Described::new(StatusCode::BAD_REQUEST, "no", None, Some("message.parts")).of_rpc();
        assert_eq!(invalid.code, -32602);
        assert_eq!(
            invalid.data.unwrap()[1],
            json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "message.parts", "description": "no"}],
            })
        );
        let forbidden = Described::new(StatusCode::FORBIDDEN, "no", Some("not of A2A"), None);
        assert_eq!(forbidden.of_rpc().code, SERVER_ERROR);
        assert_eq!(forbidden.of_http()["error"]["details"][0]["domain"], OWN_DOMAIN);
    }
}

//! The OpenAPI document of all routes, from the handlers and their types. The committed copy
//! is `gateway/openapi.json`.

use utoipa::openapi::{
    OpenApi, OpenApiBuilder,
    info::InfoBuilder,
    schema::ComponentsBuilder,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    server::ServerBuilder,
};

const BEARER: &str = "bearer";

/// The document; its version is that of the gateway, where Agentex's tools look for it.
pub(super) fn document() -> OpenApi {
    let mut document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Steadfast")
                .version(env!("CARGO_PKG_VERSION"))
                .build(),
        )
        // Relative to the document, and so below whatever prefix it was found.
        .servers(Some([ServerBuilder::new().url("./").build()]))
        .components(Some(
            ComponentsBuilder::new()
                .security_scheme(
                    BEARER,
                    SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
                )
                .build(),
        ))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])]))
        .build();
    document.merge(super::guarded().into_openapi());
    document.merge(super::open().into_openapi());
    document
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

    fn text() -> String {
        // The version changes with each release, the committed copy with the routes.
        let mut document = document();
        document.info.version = "0".to_owned();
        document.to_pretty_json().unwrap() + "\n"
    }

    #[test]
    fn the_committed_document_is_that_of_the_routes() {
        assert!(
            fs::read_to_string(COMMITTED).unwrap_or_default() == text(),
            "gateway/openapi.json differs from the routes; write it anew: \
             cargo test -p steadfast-gateway --lib write_the_committed_document -- --ignored"
        );
    }

    #[test]
    #[ignore = "writes the committed document"]
    fn write_the_committed_document() {
        fs::write(COMMITTED, text()).unwrap();
    }
}

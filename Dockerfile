# The images of Steadfast, for a cluster that pulls from a registry:
#
#   for program in operator gateway worker; do
#     docker build --target $program --tag REGISTRY/steadfast/$program:0.1.0 .
#     docker push REGISTRY/steadfast/$program:0.1.0
#   done
#
# Each holds one static program and the certificates it trusts, and nothing else:
# the same content that `cargo xtask image` gives the local platform.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN host=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release --bins --target "$host" \
      --package steadfast-operator --package steadfast-gateway --package steadfast-worker \
 && mkdir /programs \
 && for program in operator gateway worker; do cp "target/$host/release/steadfast-$program" /programs/; done

FROM scratch AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532

FROM base AS operator
COPY --from=build /programs/steadfast-operator /steadfast-operator
ENTRYPOINT ["/steadfast-operator"]

FROM base AS gateway
COPY --from=build /programs/steadfast-gateway /steadfast-gateway
ENTRYPOINT ["/steadfast-gateway"]

FROM base AS worker
COPY --from=build /programs/steadfast-worker /steadfast-worker
ENTRYPOINT ["/steadfast-worker"]

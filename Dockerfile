# The one binary, built from this checkout: docker build -t clerkwork:0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p clerkwork --bin clerkwork \
    && install -D target/release/clerkwork /out/clerkwork

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin clerkwork
COPY --from=build /out/clerkwork /usr/local/bin/clerkwork
USER 10001
ENTRYPOINT ["clerkwork"]
CMD ["version"]

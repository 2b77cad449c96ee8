# The connector's server as a container: built in one image, run in another with nothing but the binary.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends binutils curl make
WORKDIR /source
COPY . .
RUN make binary

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends zlib1g \
    && rm -rf /var/lib/apt/lists/* && useradd --system connector
COPY --from=build /source/dist/main /usr/local/bin/fivetran-destination
USER connector
EXPOSE 50052
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s CMD ["fivetran-destination", "--health"]
ENTRYPOINT ["fivetran-destination"]

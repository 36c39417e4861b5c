# syntax=docker/dockerfile:1
# Base images are named by tag. Where images are built for production, pin both by the
# digest that your registry shows: FROM golang:1.26@sha256:…
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
# With .git, so that `polyvault version` names the commit.
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /polyvault ./cmd/polyvault

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /polyvault /polyvault
# The home of the user, where an embedded store may be written.
WORKDIR /home/nonroot
# By number, so that an orchestrator can see that it is not root. With Redis as the store
# nothing is written: run it with a read-only root file system.
USER 65532:65532
ENV POLYVAULT_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/polyvault", "healthcheck"]
ENTRYPOINT ["/polyvault"]
CMD ["serve", "--config", "/etc/polyvault/polyvault.yaml"]

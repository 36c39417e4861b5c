# syntax=docker/dockerfile:1
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
ENV POLYVAULT_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/polyvault", "healthcheck"]
ENTRYPOINT ["/polyvault"]
CMD ["serve", "--config", "/etc/polyvault/polyvault.yaml"]

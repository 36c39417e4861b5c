package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func newHealthcheck() *cobra.Command {
	var url string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running gateway whether it is ready; for container health checks",
		Args:  cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			return checkHealth(cmd, url, timeout)
		}),
	}
	cmd.Flags().StringVar(&url, "url", readyURL(os.Getenv("POLYVAULT_LISTEN")), "the gateway's readiness address")
	cmd.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "how long to wait for the answer")
	return cmd
}

// readyURL is the readiness address of a gateway in the same container.
func readyURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://127.0.0.1:8080/readyz"
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // one cannot dial "every address"
	}
	return "http://" + net.JoinHostPort(host, port) + "/readyz"
}

func checkHealth(cmd *cobra.Command, url string, timeout time.Duration) error {
	req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, url, http.NoBody)
	if err != nil || req.URL.Host == "" {
		return usagef("--url must be an address such as http://127.0.0.1:8080/readyz")
	}
	// A transport of its own: a proxy from the environment is no way to the same host.
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Timeout: timeout, Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "ready")
	return err
}

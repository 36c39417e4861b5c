// Command polyvault is the payment instrument gateway and its tools. Data goes to
// stdout, logs and progress to stderr. It exits with 0, with 1 after a failure,
// and with 2 if it was called wrongly.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/polyvault/polyvault/gateway/redisstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	redisstore.SilenceClient()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

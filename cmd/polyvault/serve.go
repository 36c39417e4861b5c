package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway"
)

func newServe() *cobra.Command {
	var file string
	// The flags that override keys of the file, by key.
	values := map[string]*string{"listen": new(string), "admin_listen": new(string), "log.level": new(string)}
	names := map[string]string{"listen": "listen", "admin_listen": "admin-listen", "log.level": "log-level"}
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the gateway",
		Args:  cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			flags := map[string]string{}
			for key, name := range names {
				if cmd.Flags().Changed(name) {
					flags[key] = *values[key]
				}
			}
			c, err := loadConfig(file, flags)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "the configuration file (required)")
	f.StringVar(values["listen"], names["listen"], "", "host:port of the API; overrides listen")
	f.StringVar(values["admin_listen"], names["admin_listen"], "", "host:port of health, pprof and backups; overrides admin_listen, empty for none")
	f.StringVar(values["log.level"], names["log.level"], "", "debug, info, warn or error; overrides log.level")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // a mistake of ours: the flag is defined just above
	}
	return cmd
}

// tuneGC lets the heap grow to five times what lives before it is collected. The
// gateway keeps a few megabytes and makes much garbage, so the runtime's default
// would collect hundreds of times a second. GOGC in the environment wins.
func tuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// serve runs the gateway until ctx is done, then drains it.
func serve(ctx context.Context, c *config.Config, stderr io.Writer) (err error) {
	tuneGC()
	log, err := newLogger(c.Log, stderr)
	if err != nil {
		return err
	}
	store, err := openJournaled(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	recorder, closeRecorder, err := openRecorder(c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeRecorder()) }()
	api, service, err := newAPI(c, store, recorder, log)
	if err != nil {
		return err
	}
	defer reconcile(ctx, service)()
	main, err := serveOn(ctx, c.Listen, api.Handler(), log)
	if err != nil {
		return err
	}
	servers := []*server{main}
	var adminEnded chan error // never ready without an admin listener
	if c.AdminListen != "" {
		admin, err := serveOn(ctx, c.AdminListen, adminHandler(store, referenceKeys(c)[0], log), log)
		if err != nil {
			return errors.Join(err, stopServers(ctx, c, servers))
		}
		log.Info("admin listening", zap.String("address", admin.addr))
		servers, adminEnded = append(servers, admin), admin.ended
	}
	log.Info("listening", zap.String("address", main.addr))
	select {
	case err = <-main.ended:
		main.ended <- nil
	case err = <-adminEnded:
		adminEnded <- nil
	case <-ctx.Done():
		log.Info("draining: not ready any more, finishing what is in flight")
		api.Drain()
		pause(ctx, time.Duration(c.Shutdown.Delay))
	}
	err = errors.Join(err, stopServers(ctx, c, servers))
	log.Info("stopped", zap.Error(err))
	return err
}

// stopServers ends the servers within the configured time, which starts now: ctx
// is over already.
func stopServers(ctx context.Context, c *config.Config, servers []*server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(c.Shutdown.Timeout))
	defer cancel()
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.shutdown(ctx))
	}
	return errors.Join(errs...)
}

// pause lets load balancers see that the gateway is not ready.
func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	defer cancel()
	<-ctx.Done()
}

// adminHandler is for a local listener: it needs no key. What it gives of the store
// is encrypted.
func adminHandler(store gateway.Store, key gateway.ReferenceKey, log *zap.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backup", serveBackup(store, key, log))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/polyvault/polyvault/config"
)

func newServe() *cobra.Command {
	var file string
	// The flags that override keys of the file, by key.
	values := map[string]*string{"listen": new(string), "admin_listen": new(string), "log.level": new(string)}
	names := map[string]string{"listen": "listen", "admin_listen": "admin-listen", "log.level": "log-level"}
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the gateway",
		Long: `Run the gateway. Changes of the configuration file, and of the files that it refers
to, are taken into use as they are made, without a restart; SIGHUP has them read again.
A file that cannot be used is refused as a whole, and GET /readyz says why.
SIGTERM drains the gateway.`,
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			flags := map[string]string{}
			for key, name := range names {
				if cmd.Flags().Changed(name) {
					flags[key] = *values[key]
				}
			}
			return serve(cmd.Context(), fileSource(file, loadOptions(flags)), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "the configuration file (required)")
	f.StringVar(values["listen"], names["listen"], "", "host:port of the API; overrides listen")
	f.StringVar(values["admin_listen"], names["admin_listen"], "", "host:port of health, metrics, pprof and backups; overrides admin_listen, empty for none")
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
func serve(ctx context.Context, read source, stderr io.Writer) (err error) {
	tuneGC()
	if err := noCoreDumps(); err != nil {
		return err
	}
	hup := make(chan os.Signal, 1) // from the very start: SIGHUP ends who does not listen to it
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	c, files, err := read()
	if err != nil {
		return unusable(err)
	}
	log, level, err := newLogger(c.Log, stderr)
	if err != nil {
		return err
	}
	tel, err := openTelemetry(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tel.close(ctx)) }()
	store, err := openJournaled(ctx, c, tel, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	recorder, closeRecorder, err := openRecorder(c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeRecorder()) }()
	l, err := newLive(read, c, files, store, recorder, tel, log, level) //nolint:contextcheck // requests bring their own
	if err != nil {
		return err
	}
	defer l.close()
	defer inBackground(ctx, l.service.Reconcile)()
	defer inBackground(ctx, l.service.RotateEncryption)()
	defer inBackground(ctx, l.service.RunEvents)()
	main, err := serveOn(ctx, c.Listen, tel.tracer.Handler(l.api.Handler()), log)
	if err != nil {
		return err
	}
	servers := []*server{main}
	var adminEnded chan error // never ready without an admin listener
	if c.AdminListen != "" {
		admin, err := serveOn(ctx, c.AdminListen, adminHandler(l), log)
		if err != nil {
			return errors.Join(err, stopServers(ctx, c, servers))
		}
		log.Info("admin listening", zap.String("address", admin.addr))
		warnOfReach(c.AdminListen, log)
		servers, adminEnded = append(servers, admin), admin.ended
	}
	log.Info("listening", zap.String("address", main.addr))
	defer inBackground(ctx, func(ctx context.Context) { l.follow(ctx, hup) })()
	select {
	case err = <-main.ended:
		main.ended <- nil
	case err = <-adminEnded:
		adminEnded <- nil
	case <-ctx.Done():
		log.Info("draining: not ready any more, finishing what is in flight")
		l.api.Drain()
		_, c = l.now()
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
func adminHandler(l *live) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backup", l.audit.around("store.backup", func(w http.ResponseWriter, r *http.Request) {
		_, c := l.now()
		serveBackup(l.store, referenceKeys(c)[0], l.log)(w, r)
	}))
	mux.Handle("GET /metrics", metricsHandler(l))
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

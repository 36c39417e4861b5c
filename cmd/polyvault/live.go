package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/httpapi"
)

// source reads the configuration. It also names the files that it looked for, be they
// there or not and be the configuration usable or not.
type source func() (c *config.Config, files []string, err error)

// fileSource reads a file, as o says.
func fileSource(file string, o config.Options) source {
	return func() (c *config.Config, files []string, err error) {
		o := o
		o.Opened = func(name string) { files = append(files, name) }
		c, err = config.Load(file, o)
		return c, files, err
	}
}

// live is the gateway of a process: what serves under the configuration in force, and
// how the next one comes into force.
type live struct {
	api       *httpapi.API
	store     gateway.Store
	recorder  gateway.Recorder // nil for none
	telemetry *telemetry
	log       *zap.Logger
	level     zap.AtomicLevel // of log
	read      source
	owner     string // the name of this process
	audit     auditTrail

	succeeded, failed atomic.Int64 // reloads

	mu      sync.Mutex // a reload at a time; it guards what follows
	config  *config.Config
	service *gateway.Service
	opened  map[string]openedProvider
	files   []string // that the configuration was last looked for in
	refused string   // why the newest one is not in force; "" if it is
}

// newLive makes a gateway under its first configuration, over an open store. It makes
// no network call.
func newLive(read source, c *config.Config, files []string, store gateway.Store, recorder gateway.Recorder, tel *telemetry, log *zap.Logger, level zap.AtomicLevel) (*live, error) {
	l := &live{store: store, recorder: recorder, telemetry: tel, log: log, level: level, read: read, config: c, files: files, owner: owner()}
	var err error
	if l.opened, err = openProviders(c, nil, l.telemetry); err != nil {
		return nil, err
	}
	if l.service, err = gateway.New(l.gatewayConfig(c, l.opened)); err != nil {
		return nil, err
	}
	keys, err := apiKeys(c)
	if err != nil {
		return nil, err
	}
	if l.audit, err = openAudit(c, l.owner, log); err != nil {
		return nil, err
	}
	l.api, err = httpapi.New(httpapi.Config{
		Service: l.service, Keys: keys, Log: log, Audit: l.audit.forAPI(), Observe: tel.answered, TraceID: tel.traceID(),
		MaxAuthFailures: c.Limits.AuthFailuresPerMinute, TrustedProxies: c.Proxies(),
	})
	if err != nil {
		return nil, errors.Join(err, l.audit.close())
	}
	return l, nil
}

func (l *live) gatewayConfig(c *config.Config, opened map[string]openedProvider) gateway.Config {
	gc := gatewayConfig(c, opened, l.store, l.log)
	gc.Recorder, gc.Owner, gc.Observer = l.recorder, l.owner, l.telemetry.meter
	l.telemetry.configured(c, opened)
	return gc
}

// now is what is in force.
func (l *live) now() (*gateway.Service, *config.Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.service, l.config
}

// close ends what the generation in force does by itself.
func (l *live) close() {
	service, _ := l.now()
	service.Close()
	if err := l.audit.close(); err != nil {
		l.log.Error("the audit log was not ended in order", zap.Error(err))
	}
}

// reload reads the configuration and puts it in force, if it is another one or if it
// is forced to. One that cannot be used is refused, and nothing has changed then.
func (l *live) reload(force bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, files, err := l.read()
	l.files = files
	if err == nil {
		err = l.use(c, force)
	}
	if err != nil {
		l.refuse(err, force)
	}
	return err
}

// use puts a configuration in force. All that can fail comes before the first effect.
func (l *live) use(c *config.Config, force bool) error {
	changes := config.Compare(l.config, c)
	if changes.None() && !force {
		if l.refused != "" {
			l.refused = ""
			l.api.Refused("")
			l.log.Info("the configuration is the one in force again")
		}
		return nil
	}
	if len(changes.Restart) > 0 {
		return fmt.Errorf("%s cannot change while the gateway runs: restart it with the new configuration, or change back what differs",
			strings.Join(changes.Restart, ", "))
	}
	list, err := apiKeys(c)
	if err != nil {
		return err
	}
	keys, err := httpapi.NewKeyring(list)
	if err != nil {
		return err
	}
	keys.Door = httpapi.Door{MaxAuthFailures: c.Limits.AuthFailuresPerMinute, TrustedProxies: c.Proxies()}
	opened, err := openProviders(c, l.opened, l.telemetry)
	if err != nil {
		return err
	}
	service, err := l.service.Reload(l.gatewayConfig(c, opened))
	if err != nil {
		return err
	}
	status := l.api.Swap(service, keys)
	retire(l.opened, opened)
	l.config, l.service, l.opened, l.refused = c, service, opened, ""
	l.succeeded.Add(1)
	l.setLevel(c.Log.Level)
	l.audit.reloaded(c, changes, status.Generation)
	l.log.Info("the configuration was reloaded", append([]zap.Field{zap.Int64("generation", status.Generation)}, changeFields(changes)...)...)
	return nil
}

func (l *live) setLevel(text string) {
	if level, err := zap.ParseAtomicLevel(text); err == nil { // the schema knows the levels
		l.level.SetLevel(level.Level())
	}
}

// changeFields names what changed.
func changeFields(c config.Changes) []zap.Field {
	fields := []zap.Field{zap.Strings("changed", c.Keys)}
	for _, list := range []struct {
		name  string
		items []string
	}{
		{"providers_added", c.ProvidersAdded},
		{"providers_removed", c.ProvidersRemoved},
		{"providers_changed", c.ProvidersChanged},
		{"routes", c.Routes},
		{"tenants", c.Tenants},
	} {
		if len(list.items) > 0 {
			fields = append(fields, zap.Strings(list.name, list.items))
		}
	}
	return fields
}

// shownProblems bounds how many problems of a configuration are told at once.
const shownProblems = 20

// refuse tells that a configuration cannot be used: once, however often it is looked at.
func (l *live) refuse(err error, force bool) {
	text := refusal(err)
	if text == l.refused && !force {
		return
	}
	l.refused = text
	l.failed.Add(1)
	l.api.Refused(text)
	l.audit.refused(text, l.api.ConfigStatus().Generation)
	l.log.Error("the configuration was refused: the one before stays in force", zap.String("problems", text),
		zap.Int64("generation", l.api.ConfigStatus().Generation))
}

// refusal is the text of the error of a reload. It holds no values.
func refusal(err error) string {
	problems := config.Problems(nil)
	if !errors.As(err, &problems) || len(problems) <= shownProblems {
		return err.Error()
	}
	return fmt.Sprintf("%s\nand %d more", problems[:shownProblems].Error(), len(problems)-shownProblems)
}

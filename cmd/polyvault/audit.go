package main

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"os"
	"runtime/debug"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway/audit"
	"github.com/polyvault/polyvault/gateway/httpapi"
)

// auditTrail is the audit log as the process itself uses it. Without one it does nothing.
type auditTrail struct{ log *audit.Log } // nil for none

// openAudit opens the configured audit log for the process of that name.
func openAudit(c *config.Config, gateway string, log *zap.Logger) (auditTrail, error) {
	if !c.Audit.Enabled() {
		return auditTrail{}, nil
	}
	ac := audit.Config{Path: c.Audit.File, Gateway: gateway, Settings: auditSettings(c), Log: log}
	if c.Audit.Stdout {
		ac.Out = os.Stdout
	}
	l, err := audit.Open(ac)
	if err != nil {
		return auditTrail{}, err
	}
	t := auditTrail{l}
	info, _ := debug.ReadBuildInfo()
	e := configEntry("gateway.start", c, 1)
	e.Detail = "version " + buildOf(info).version
	t.add(e)
	return t, nil
}

func auditSettings(c *config.Config) audit.Settings {
	a := c.Audit
	return audit.Settings{Keys: auditKeys(c), Sync: a.Sync == "always", Required: a.Required, MaxBytes: int64(a.MaxBytes), Keep: a.Keep}
}

func auditKeys(c *config.Config) audit.Keys {
	var out audit.Keys
	for _, k := range c.Keys.Reference {
		out = append(out, audit.Key{ID: k.ID, Secret: k.Bytes})
	}
	return out
}

// forAPI is the log for the API; nil if there is none.
func (t auditTrail) forAPI() httpapi.AuditLog {
	if t.log == nil {
		return nil
	}
	return t.log
}

func (t auditTrail) add(e audit.Entry) {
	if t.log != nil {
		_ = t.log.Append(e) // told by the log itself
	}
}

// reloaded tells of a configuration that came into force, and goes on under it.
func (t auditTrail) reloaded(c *config.Config, changes config.Changes, generation int64) {
	if t.log == nil {
		return
	}
	t.log.Use(auditSettings(c))
	e := configEntry("config.apply", c, generation)
	e.Changed = changes.Keys
	t.add(e)
}

// refused tells of a configuration that cannot be used.
func (t auditTrail) refused(text string, generation int64) {
	t.add(audit.Entry{Action: "config.refuse", Generation: generation, Detail: text})
}

// reopen has the log look whether its file was moved away.
func (t auditTrail) reopen() {
	if t.log != nil {
		t.log.Reopen()
	}
}

func (t auditTrail) close() error {
	if t.log == nil {
		return nil
	}
	t.add(audit.Entry{Action: "gateway.stop"})
	return t.log.Close()
}

// configEntry is an entry about a configuration: what it is, without its secrets.
func configEntry(action string, c *config.Config, generation int64) audit.Entry {
	e := audit.Entry{Action: action, Generation: generation}
	if text, err := c.Show(); err == nil {
		sum := sha256.Sum256(text)
		e.Digest = hex.EncodeToString(sum[:])
	}
	return e
}

// around tells of what is asked for at the admin listener before it is done, and refuses
// it while it cannot be told and has to be.
func (t auditTrail) around(action string, next http.HandlerFunc) http.HandlerFunc {
	if t.log == nil {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if err := t.log.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = r.RemoteAddr
		}
		t.add(audit.Entry{Action: action, Address: host, Detail: "asked for at the admin listener"})
		next(w, r)
	}
}

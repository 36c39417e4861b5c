package main

import (
	"context"
	"os"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/config"
)

// follow takes into use what becomes of the configuration's files until ctx is done,
// and reads them again whenever hup says so.
func (l *live) follow(ctx context.Context, hup <-chan os.Signal) {
	w, err := config.NewWatcher()
	var changed <-chan struct{} // never ready without a watcher
	if err != nil {
		l.log.Warn("changes of the configuration are only taken into use on SIGHUP", zap.Error(err))
	} else {
		defer func() { _ = w.Close() }()
		changed = w.Changed()
	}
	said := ""
	for {
		if w != nil {
			said = l.watch(w, said)
		}
		select {
		case <-ctx.Done():
			return
		case <-hup:
			l.audit.reopen()
			_ = l.reload(true) // told by itself
		case <-changed:
			_ = l.reload(false)
		}
	}
}

// rounds bounds how often the files are read again since a folder came under watch.
const rounds = 3

// watch watches the files that the configuration was last looked for in. What a file
// is before its folder is watched would go unseen, so that it is read again. said is
// the last failure that was told.
func (l *live) watch(w *config.Watcher, said string) string {
	for range rounds {
		l.mu.Lock()
		files := l.files
		l.mu.Unlock()
		more, err := w.Follow(files)
		if err != nil && err.Error() != said {
			said = err.Error()
			l.log.Warn("some changes of the configuration are only taken into use on SIGHUP", zap.Error(err))
		}
		if !more {
			break
		}
		_ = l.reload(false)
	}
	return said
}

// inBackground runs fn, which must end when its context does, until stop is called.
// The context keeps ctx's values and outlives it.
func inBackground(ctx context.Context, fn func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

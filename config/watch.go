package config

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How long files must be left alone before they are worth reading, and how long they
// are waited for at most: who writes all the time must not put that off for ever.
const (
	settleTime = 50 * time.Millisecond
	settleMost = 500 * time.Millisecond
)

// Watcher notices that the files of a configuration may have changed: written in place,
// replaced by a rename, or by a symbolic link that leads elsewhere, as where secrets
// are mounted. It watches folders, since a file that is replaced is another file.
type Watcher struct {
	events  *fsnotify.Watcher
	changed chan struct{}
	done    chan struct{} // closed when run has ended

	mu      sync.Mutex
	folders map[string]bool // that are watched
	spots   map[string]bool // whose change matters
}

// NewWatcher makes a watcher that watches nothing yet. It must be closed.
func NewWatcher() (*Watcher, error) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("files cannot be watched: %w", err)
	}
	w := &Watcher{
		events: events, changed: make(chan struct{}, 1), done: make(chan struct{}),
		folders: map[string]bool{}, spots: map[string]bool{},
	}
	go w.run()
	return w, nil
}

// Close ends the watcher.
func (w *Watcher) Close() error {
	err := w.events.Close()
	<-w.done
	return err
}

// Changed gets a value after a file may have changed and has then been left alone for
// 50 ms, or after 500 ms of being changed all the time.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Follow watches these files, which need not exist, in place of those before. more is
// true if a folder is watched that was not: something may have happened there unseen.
// The error names folders that cannot be watched; the others are.
func (w *Watcher) Follow(files []string) (more bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	folders := map[string]bool{}
	w.spots = map[string]bool{}
	for _, file := range files {
		for _, s := range spotsOf(file) {
			folders[s.folder] = true
			w.spots[s.path()] = true
		}
	}
	for folder := range w.folders {
		if !folders[folder] {
			w.drop(folder)
		}
	}
	var errs []error
	for folder := range folders {
		if w.folders[folder] {
			continue
		}
		if err := w.events.Add(folder); err != nil {
			errs = append(errs, fmt.Errorf("the folder %s cannot be watched: %w", folder, err))
			continue
		}
		w.folders[folder], more = true, true
	}
	return more, errors.Join(errs...)
}

// drop forgets a folder. One that is gone has no watch any more, which is no error.
func (w *Watcher) drop(folder string) {
	delete(w.folders, folder)
	_ = w.events.Remove(folder)
}

// matters reports whether an event may mean that a file is not what it was.
func (w *Watcher) matters(e fsnotify.Event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.folders[e.Name] && (e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)) {
		w.drop(e.Name) // another folder may come to have its name
		return true
	}
	return w.spots[e.Name]
}

func (w *Watcher) run() {
	defer close(w.done)
	var quiet, most <-chan time.Time // ready when it is time to tell; nil while there is nothing to tell
	note := func() {
		if quiet = time.After(settleTime); most == nil {
			most = time.After(settleMost)
		}
	}
	for {
		select {
		case e, ok := <-w.events.Events:
			if !ok {
				return
			}
			if w.matters(e) {
				note()
			}
		case _, ok := <-w.events.Errors:
			if !ok {
				return
			}
			note() // events were lost
		case <-quiet:
			quiet, most = nil, nil
			w.tell()
		case <-most:
			quiet, most = nil, nil
			w.tell()
		}
	}
}

// tell leaves one value for whoever listens next.
func (w *Watcher) tell() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// watched are the folders that are watched, in order.
func (w *Watcher) watched() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for folder := range w.folders {
		out = append(out, folder)
	}
	slices.Sort(out)
	return out
}

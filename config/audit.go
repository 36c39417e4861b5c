package config

import "encoding/json"

// Audit says where it is told who did what. Without a file or stdout it is not.
type Audit struct {
	File     string `json:"file,omitempty"`     // each gateway needs one of its own; full ones become FILE.1, FILE.2 and so on
	Stdout   bool   `json:"stdout,omitempty"`   // in place of a file; each start begins a chain
	Sync     string `json:"sync"`               // interval (default): the disk has an entry within 100ms; always: answers wait for the disk
	Required bool   `json:"required,omitempty"` // while nothing can be written, nothing is changed either; default false
	MaxBytes int    `json:"max_bytes"`          // how large a file may grow before the next is begun; 64 KiB–16 GiB, default 64 MiB
	Keep     int    `json:"keep"`               // how many full files are kept, 0–100000; default 0: all of them
}

// Enabled reports whether there is an audit log.
func (a Audit) Enabled() bool { return a.File != "" || a.Stdout }

// UnmarshalJSON fills in defaults.
func (a *Audit) UnmarshalJSON(b []byte) error {
	type plain Audit
	v := plain{Sync: "interval", MaxBytes: 64 << 20}
	err := json.Unmarshal(b, &v)
	*a = Audit(v)
	return err
}

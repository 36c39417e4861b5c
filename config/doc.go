// Package config reads the gateway's configuration: one strict YAML file, with
// the environment and the command line over it. It reports every problem at once,
// each with its line, and resolves references to secrets without ever printing
// what they resolve to.
package config
